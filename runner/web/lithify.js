// Runs artifacts in a web page.
//
//     import { run } from "./lithify.js";
//     const machine = run("app.wasm", { args: ["python3", "-c", "print(1)"], onOutput: (fd, bytes) => … });
//     machine.write("a line of standard input\n"); machine.end();
//     console.log("exit code", await machine.exited);
//
// The page has to be cross-origin isolated (`Cross-Origin-Opener-Policy: same-origin` and
// `Cross-Origin-Embedder-Policy: require-corp`); `isolation.js` sees to that where the server cannot.

import { Bell, Pipe, Window } from "./channel.js";
import { resize, signal } from "./request.js";

const STDIN_BYTES = 1 << 16, EVENTS_BYTES = 1 << 12;

/**
 * Starts the artifact at `url`. `args` replace the image's `CMD`, `env` goes over its variables, and with `terminal`
 * (`{ rows, columns }`) the program has one. `onOutput(fd, bytes)` gets standard output (1) and standard error (2),
 * `onLoad(bytes)` hears how much of the artifact has arrived.
 */
export function run(url, options = {}) {
  return new Machine(new URL(url, document.baseURI).href, options);
}

class Machine {
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #waiting = [];
  #hasEnded = false;
  #stdin;
  #events;

  constructor(url, { args = [], env = {}, terminal, onOutput = () => {}, onLoad = () => {} }) {
    if (!crossOriginIsolated) throw new Error("the page is not cross-origin isolated, which shared memory needs");
    const memories = {
      bell: Bell.memory(), window: Window.memory(), stdin: Pipe.memory(STDIN_BYTES), events: Pipe.memory(EVENTS_BYTES),
    };
    const bell = new Bell(memories.bell);
    const window = new Window(memories.window, bell);
    this.#stdin = new Pipe(memories.stdin, bell);
    this.#events = new Pipe(memories.events, bell);
    /** Resolves to the exit code. */
    this.exited = new Promise((resolve, reject) => {
      this.#worker.onerror = (event) => reject(new Error(event.message));
      this.#worker.onmessage = ({ data }) => {
        if (data.bytes) {
          onOutput(data.fd, data.bytes);
          window.taken(data.bytes.length);
        } else if (data.hasRoom) this.#feed();
        else if (data.loaded) onLoad(data.loaded);
        else if (data.failed) reject(new Error(data.failed));
        else resolve(data.exited);
      };
    }).finally(() => this.stop());
    const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    this.#worker.postMessage({ url, args, env: variables, terminal, memories });
  }

  /** Standard input: text or bytes. */
  write(input) {
    this.#waiting.push(typeof input === "string" ? new TextEncoder().encode(input) : input);
    this.#feed();
  }

  /** The end of standard input, behind what was written. */
  end() {
    this.#hasEnded = true;
    this.#feed();
  }

  /** The terminal has this size now. */
  resize(terminal) {
    this.#events.write(resize(terminal));
  }

  /** Sends a signal (Linux number) to the program. */
  signal(number) {
    this.#events.write(signal(number));
  }

  /** Takes the power away. */
  stop() {
    this.#worker.terminate();
  }

  #feed() {
    while (this.#waiting.length > 0 && !this.#stdin.isFull) {
      const bytes = this.#waiting.shift();
      const written = this.#stdin.write(bytes);
      if (written < bytes.length) this.#waiting.unshift(bytes.subarray(written));
    }
    if (this.#hasEnded && this.#waiting.length === 0) this.#stdin.end();
  }
}
