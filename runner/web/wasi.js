// WASI preview 1 as far as a machine needs it: three streams, clocks, randomness, arguments, variables, and the
// folder `/.lithify`. No file of a host, no network: what is not here answers that it is not there.

const SUCCESS = 0, EAGAIN = 6, EBADF = 8, EINVAL = 28, ENOENT = 44, ENOSYS = 52;
const CLOCK = 0, FD_READ = 1;
const SUBSCRIPTION_BYTES = 48, EVENT_BYTES = 32;
const ABSOLUTE = 1;
const DIRECTORY = 3, CHARACTER_DEVICE = 2;
const STDIN = 0, STDOUT = 1, STDERR = 2, FOLDER = 3, REQUEST = 4, EVENTS = 5;
const FOLDER_NAME = "/.lithify";
// Most that `crypto.getRandomValues` fills in one call.
const RANDOM_BYTES = 65536;

/** Thrown by `proc_exit`. */
export class Exit {
  constructor(code) {
    this.code = code;
  }
}

export class Wasi {
  #memory;
  #encoder = new TextEncoder();
  #decoder = new TextDecoder();
  #requestPosition = 0;

  /**
   * `args` and `env` (`NAME=value`) are the program's, `request` the bytes of that file in `/.lithify`, `stdin` and
   * `events` pipes, `bell` what they ring; `write(fd, bytes)` takes output, and may wait.
   */
  constructor({ args, env, request, stdin, events, bell, write }) {
    this.args = ["lithify", ...args];
    this.env = env;
    this.request = request;
    this.pipes = { [STDIN]: stdin, [EVENTS]: events };
    this.bell = bell;
    this.write = write;
  }

  /** Runs an artifact to its end: its exit code. */
  run(module) {
    const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: this.#imports(module) });
    this.#memory = instance.exports.memory;
    try {
      instance.exports._start();
    } catch (thrown) {
      if (thrown instanceof Exit) return thrown.code;
      throw thrown;
    }
    return 0;
  }

  #imports(module) {
    const answer = (name) => (typeof this[name] === "function" ? this[name].bind(this) : () => ENOSYS);
    return Object.fromEntries(WebAssembly.Module.imports(module).map(({ name }) => [name, answer(name)]));
  }

  get #view() {
    return new DataView(this.#memory.buffer);
  }

  #bytes(pointer, length) {
    return new Uint8Array(this.#memory.buffer, pointer >>> 0, length >>> 0);
  }

  #setU32(pointer, value) {
    this.#view.setUint32(pointer >>> 0, value, true);
    return SUCCESS;
  }

  #pieces(vectors, count) {
    const view = this.#view;
    return Array.from({ length: count >>> 0 }, (_, index) => {
      const at = (vectors >>> 0) + 8 * index;
      return this.#bytes(view.getUint32(at, true), view.getUint32(at + 4, true));
    });
  }

  #sizes(strings, countPointer, bytesPointer) {
    this.#setU32(countPointer, strings.length);
    const length = strings.reduce((sum, string) => sum + this.#encoder.encode(string).length + 1, 0);
    return this.#setU32(bytesPointer, length);
  }

  #strings(strings, pointers, to) {
    strings.forEach((string, index) => {
      const bytes = this.#encoder.encode(`${string}\0`);
      this.#setU32(pointers + 4 * index, to);
      this.#bytes(to, bytes.length).set(bytes);
      to += bytes.length;
    });
    return SUCCESS;
  }

  args_sizes_get(count, bytes) {
    return this.#sizes(this.args, count, bytes);
  }

  args_get(pointers, to) {
    return this.#strings(this.args, pointers, to);
  }

  environ_sizes_get(count, bytes) {
    return this.#sizes(this.env, count, bytes);
  }

  environ_get(pointers, to) {
    return this.#strings(this.env, pointers, to);
  }

  clock_time_get(clock, _precision, to) {
    this.#view.setBigUint64(to >>> 0, nanoseconds(clock), true);
    return SUCCESS;
  }

  random_get(to, length) {
    const bytes = this.#bytes(to, length);
    for (let at = 0; at < bytes.length; at += RANDOM_BYTES) {
      crypto.getRandomValues(bytes.subarray(at, at + RANDOM_BYTES));
    }
    return SUCCESS;
  }

  proc_exit(code) {
    throw new Exit(code >>> 0);
  }

  fd_prestat_get(fd, to) {
    if (fd !== FOLDER) return EBADF;
    this.#setU32(to, 0);
    return this.#setU32(to + 4, FOLDER_NAME.length);
  }

  fd_prestat_dir_name(fd, to, length) {
    if (fd !== FOLDER) return EBADF;
    if (length < FOLDER_NAME.length) return EINVAL;
    this.#bytes(to, FOLDER_NAME.length).set(this.#encoder.encode(FOLDER_NAME));
    return SUCCESS;
  }

  fd_fdstat_get(fd, to) {
    if (fd > EVENTS) return EBADF;
    this.#bytes(to, 24).fill(0);
    this.#view.setUint8(to >>> 0, fd === FOLDER ? DIRECTORY : CHARACTER_DEVICE);
    return SUCCESS;
  }

  path_open(folder, _lookup, path, length, _flags, _rights, _inheriting, _fdFlags, to) {
    if (folder !== FOLDER) return EBADF;
    const fd = { request: REQUEST, events: EVENTS }[this.#decoder.decode(this.#bytes(path, length))];
    return fd === undefined ? ENOENT : this.#setU32(to, fd);
  }

  fd_close() {
    return SUCCESS;
  }

  fd_read(fd, vectors, count, lengthPointer) {
    const [into] = this.#pieces(vectors, count).filter((piece) => piece.length > 0);
    if (into === undefined) return this.#setU32(lengthPointer, 0);
    if (fd === REQUEST) return this.#setU32(lengthPointer, this.#readRequest(into));
    const pipe = this.pipes[fd];
    if (pipe === undefined) return EBADF;
    if (!pipe.isReady) return EAGAIN;
    return this.#setU32(lengthPointer, pipe.read(into));
  }

  #readRequest(into) {
    const bytes = this.request.subarray(this.#requestPosition, this.#requestPosition + into.length);
    into.set(bytes);
    this.#requestPosition += bytes.length;
    return bytes.length;
  }

  fd_write(fd, vectors, count, lengthPointer) {
    if (fd !== STDOUT && fd !== STDERR) return EBADF;
    let length = 0;
    for (const piece of this.#pieces(vectors, count)) {
      // A copy: the guest goes on while the page looks at it.
      if (piece.length > 0) this.write(fd, piece.slice());
      length += piece.length;
    }
    return this.#setU32(lengthPointer, length);
  }

  poll_oneoff(subscriptions, events, count, countPointer) {
    const wishes = Array.from({ length: count >>> 0 }, (_, index) =>
      this.#wish((subscriptions >>> 0) + SUBSCRIPTION_BYTES * index));
    const due = Math.min(Infinity, ...wishes.map((wish) => wish.due ?? Infinity));
    for (;;) {
      const heard = this.bell.count;
      const now = performance.now();
      const ready = wishes.filter((wish) => (wish.due === undefined ? wish.isReady() : wish.due <= now));
      if (ready.length > 0) {
        ready.forEach((wish, index) => this.#event((events >>> 0) + EVENT_BYTES * index, wish));
        return this.#setU32(countPointer, ready.length);
      }
      this.bell.wait(heard, due - now);
    }
  }

  #wish(at) {
    const view = this.#view;
    const type = view.getUint8(at + 8);
    const wish = { userdata: view.getBigUint64(at, true), type, error: SUCCESS, isReady: () => true };
    if (type === CLOCK) {
      const timeout = view.getBigUint64(at + 24, true);
      const isAbsolute = (view.getUint16(at + 40, true) & ABSOLUTE) !== 0;
      const left = isAbsolute ? timeout - nanoseconds(view.getUint32(at + 16, true)) : timeout;
      return { ...wish, due: performance.now() + Number(left) / 1e6 };
    }
    const fd = view.getUint32(at + 16, true);
    if (type !== FD_READ) return fd === STDOUT || fd === STDERR ? wish : { ...wish, error: EBADF };
    const pipe = this.pipes[fd];
    return pipe === undefined ? { ...wish, error: EBADF } : { ...wish, isReady: () => pipe.isReady };
  }

  #event(at, { userdata, error, type }) {
    this.#bytes(at, EVENT_BYTES).fill(0);
    const view = this.#view;
    view.setBigUint64(at, userdata, true);
    view.setUint16(at + 8, error, true);
    view.setUint8(at + 10, type);
    // At least one byte, or the end.
    if (type !== CLOCK) view.setBigUint64(at + 16, 1n, true);
  }
}

const REALTIME = 0;

function nanoseconds(clock) {
  const milliseconds = performance.now() + (clock === REALTIME ? performance.timeOrigin : 0);
  return BigInt(Math.round(milliseconds * 1e3)) * 1000n;
}
