// What the machine's runner may say beyond WASI, in the encoding of the `control` crate: little-endian integers, a
// `u32` length before bytes and lists.

const SIGNAL = 17, RESIZE = 18;

const u16 = (value) => [value & 0xff, (value >> 8) & 0xff];
const u32 = (value) => [...u16(value), ...u16(value >>> 16)];
const size = ({ rows, columns }) => [...u16(rows), ...u16(columns)];
const frame = (...body) => new Uint8Array([...u32(body.length), ...body]);

/** `Overrides` in which nothing is overridden but the terminal, if there is one. */
export function overrides(terminal) {
  const none = [0], empty = u32(0), no = 0;
  const entrypoint = none, cwd = none, user = none, hostname = none, hosts = empty;
  const terminals = terminal ? [...u32(1), ...size(terminal)] : empty;
  const freezeAt = empty, trial = empty;
  return new Uint8Array([
    ...entrypoint, ...cwd, ...user, ...hostname, ...hosts,
    no /* kernel messages */, no /* statistics */, ...terminals, ...freezeAt, ...trial,
  ]);
}

/** `Frame::Signal`. */
export const signal = (number) => frame(SIGNAL, ...u32(number));

/** `Frame::Resize`. */
export const resize = (terminal) => frame(RESIZE, ...size(terminal));
