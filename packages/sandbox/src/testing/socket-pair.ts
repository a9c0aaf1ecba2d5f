import { Duplex } from "node:stream";

/** One end of a pair; what is written to it can be read from the other end. */
class End extends Duplex {
  peer: End | undefined;
  #taken: (() => void) | undefined;

  override _read(): void {
    const peer = this.peer;
    if (peer === undefined) return;
    const taken = peer.#taken;
    peer.#taken = undefined;
    taken?.();
  }

  /** Delivered in a later turn of the event loop, as a kernel would. */
  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    setImmediate(() => {
      const peer = this.peer;
      if (peer === undefined || peer.destroyed) done(new Error("write EPIPE"));
      else if (peer.push(chunk)) done();
      else this.#taken = done;
    });
  }

  override _final(done: () => void): void {
    setImmediate(() => {
      if (this.peer?.destroyed === false) this.peer.push(null);
      done();
    });
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const peer = this.peer;
    setImmediate(() => {
      if (peer?.destroyed === false) peer.push(null);
    });
    done(error);
  }
}

/** Two connected ends within this process, with back-pressure, as of a unix stream socket. */
export const socketPair = (): [Duplex, Duplex] => {
  const options = { allowHalfOpen: false, highWaterMark: 65_536 };
  const left = new End(options);
  const right = new End(options);
  left.peer = right;
  right.peer = left;
  return [left, right];
};
