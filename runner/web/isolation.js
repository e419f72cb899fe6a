// Makes a page cross-origin isolated on any static server: as a script of the page it installs itself as the service
// worker that adds the two headers, and loads the page once more.

// Loaded once more already, in vain: the browser has no service workers here, or went around them.
const RELOADED = "lithify-isolation";
/** Whether the page is about to be loaded once more. */
const isIsolating = typeof window !== "undefined" && !crossOriginIsolated
  && "serviceWorker" in navigator && !sessionStorage.getItem(RELOADED);

if (typeof window === "undefined") {
  self.addEventListener("install", () => self.skipWaiting());
  self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
  self.addEventListener("fetch", (event) => event.respondWith(isolated(event.request)));
} else if (isIsolating) {
  install(document.currentScript.src);
} else if (crossOriginIsolated) {
  sessionStorage.removeItem(RELOADED);
}

async function isolated(request) {
  const response = await fetch(request);
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

async function install(script) {
  sessionStorage.setItem(RELOADED, "1");
  await navigator.serviceWorker.register(script);
  await navigator.serviceWorker.ready;
  location.reload();
}
