// Runs the artifact of a page's folder as the page's worker does, in node, on its own streams.
//
//     machine.mjs FOLDER OPTIONS WORDS…
//
// OPTIONS are JSON: `terminal`, and `signals`: which one is sent when a text is printed.

import { readFileSync, writeSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, options, ...args] = process.argv.slice(2);
const { terminal, signals = {} } = JSON.parse(options);
const load = (name) => import(pathToFileURL(`${folder}/${name}`));
const { Bell, Pipe } = await load("channel.js");
const { overrides, signal } = await load("request.js");
const { Wasi } = await load("wasi.js");

const bell = new Bell(Bell.memory());
const [stdin, events] = [1 << 16, 1 << 12].map((capacity) => new Pipe(Pipe.memory(capacity), bell));
const input = readFileSync(0);
let written = stdin.write(input);

// There is no second thread that would write more later.
const read = stdin.read.bind(stdin);
stdin.read = (into) => {
  const count = read(into);
  written += stdin.write(input.subarray(written));
  if (written === input.length) stdin.end();
  return count;
};
if (written === input.length) stdin.end();

const write = (fd, bytes) => {
  for (const [text, number] of Object.entries(signals)) {
    if (Buffer.from(bytes).includes(text)) events.write(signal(number));
  }
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
};
const wasi = new Wasi({ args, env: ["WHO=you"], request: overrides(terminal), stdin, events, bell, write });
process.exit(wasi.run(await WebAssembly.compile(readFileSync(`${folder}/app.wasm`))));
