// Runs one artifact, away from the page: it sleeps, which a page may not.

import { Bell, Pipe, Window } from "./channel.js";
import { overrides } from "./request.js";
import { Wasi } from "./wasi.js";

// Bytes of output that the page has not taken yet.
const WINDOW_BYTES = 1 << 20;

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ exited: wasi(data).run(await load(data.url)) });
  } catch (error) {
    self.postMessage({ failed: String(error) });
  }
};

function wasi({ args, env, terminal, memories }) {
  const bell = new Bell(memories.bell);
  const window = new Window(memories.window, bell);
  const stdin = new Announcing(memories.stdin, bell);
  const events = new Pipe(memories.events, bell);
  const write = (fd, bytes) => {
    window.send(bytes.length, WINDOW_BYTES);
    self.postMessage({ fd, bytes }, [bytes.buffer]);
  };
  return new Wasi({ args, env, request: overrides(terminal), stdin, events, bell, write });
}

/** A pipe that tells the page when there is room again. */
class Announcing extends Pipe {
  read(into) {
    const wasFull = this.isFull;
    const count = super.read(into);
    if (wasFull) self.postMessage({ hasRoom: true });
    return count;
  }
}

async function load(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  let loaded = 0;
  const count = new TransformStream({
    transform(chunk, controller) {
      loaded += chunk.length;
      self.postMessage({ loaded });
      controller.enqueue(chunk);
    },
  });
  // Whatever type the server says it has.
  const headers = { "content-type": "application/wasm" };
  return WebAssembly.compileStreaming(new Response(response.body.pipeThrough(count), { headers }));
}
