// What the page and the worker share: the worker sleeps while the guest is idle, and a sleeping worker hears no
// messages, only memory.

const READ = 0, WRITTEN = 1, ENDED = 2, HEADER_BYTES = 12;

/** A ring of bytes with one writer and one reader; both ring the bell. */
export class Pipe {
  /** `capacity` is a power of two. */
  static memory(capacity) {
    return new SharedArrayBuffer(HEADER_BYTES + capacity);
  }

  constructor(memory, bell) {
    this.state = new Int32Array(memory, 0, HEADER_BYTES / 4);
    this.bytes = new Uint8Array(memory, HEADER_BYTES);
    this.bell = bell;
  }

  get length() {
    return (Atomics.load(this.state, WRITTEN) - Atomics.load(this.state, READ)) | 0;
  }

  get isFull() {
    return this.length === this.bytes.length;
  }

  /** Whether a reader would not have to wait. */
  get isReady() {
    return this.length > 0 || Atomics.load(this.state, ENDED) === 1;
  }

  /** Takes as many bytes as there is room for; says how many. */
  write(bytes) {
    const count = Math.min(bytes.length, this.bytes.length - this.length);
    this.#copy(Atomics.load(this.state, WRITTEN), count, (at, from, to) => this.bytes.set(bytes.subarray(from, to), at));
    Atomics.add(this.state, WRITTEN, count);
    this.bell.ring();
    return count;
  }

  /** Fills as much of `into` as there are bytes for; says how many. */
  read(into) {
    const count = Math.min(into.length, this.length);
    this.#copy(Atomics.load(this.state, READ), count, (at, from, to) =>
      into.set(this.bytes.subarray(at, at + to - from), from));
    Atomics.add(this.state, READ, count);
    return count;
  }

  end() {
    Atomics.store(this.state, ENDED, 1);
    this.bell.ring();
  }

  // In one piece up to the ring's end, the rest from its beginning.
  #copy(position, count, copy) {
    const at = position & (this.bytes.length - 1);
    const first = Math.min(count, this.bytes.length - at);
    copy(at, 0, first);
    copy(0, first, count);
  }
}

/** What the worker waits for. */
export class Bell {
  static memory() {
    return new SharedArrayBuffer(4);
  }

  constructor(memory) {
    this.rung = new Int32Array(memory);
  }

  ring() {
    Atomics.add(this.rung, 0, 1);
    Atomics.notify(this.rung, 0);
  }

  /** To be taken before the look that finds nothing to do. */
  get count() {
    return Atomics.load(this.rung, 0);
  }

  /** Sleeps until the bell is rung for the next time after `count`, at most for so many milliseconds. */
  wait(count, milliseconds) {
    Atomics.wait(this.rung, 0, count, milliseconds);
  }
}

/** Bytes of output on their way to the page: a guest that prints faster than the page shows waits. */
export class Window {
  static memory() {
    return new SharedArrayBuffer(4);
  }

  constructor(memory, bell) {
    this.onTheirWay = new Int32Array(memory);
    this.bell = bell;
  }

  /** The page has shown so many bytes. */
  taken(count) {
    Atomics.sub(this.onTheirWay, 0, count);
    this.bell.ring();
  }

  /** Sleeps until fewer than `limit` bytes are on their way, then counts `count` more. */
  send(count, limit) {
    for (;;) {
      const heard = this.bell.count;
      if (Atomics.load(this.onTheirWay, 0) < limit) break;
      this.bell.wait(heard, Infinity);
    }
    Atomics.add(this.onTheirWay, 0, count);
  }
}
