import { readSync } from "node:fs";
import { Socket } from "node:net";

const READ_BYTES = 65_536;

/**
 * A socket to a guest that does not lose the guest's last words. A write that fails, since the guest has just ended, makes a
 * Socket close at once with all that lies unread in it; this one reads that first.
 */
export class GuestSocket extends Socket {
  /**
   * What a failed write would have cost, in the order in which it was sent; undefined if no write has failed, or if
   * it could not all be read.
   */
  declare rest: Buffer | undefined;

  /** Makes one of a socket that a server has accepted, which nobody has read from or written to. */
  static of(accepted: Socket): GuestSocket {
    // A server makes its sockets itself, and lets nobody say of which class.
    return Object.setPrototypeOf(accepted, GuestSocket.prototype) as GuestSocket;
  }

  override _destroy(error: NodeJS.ErrnoException | null, callback: (error?: Error | null) => void): void {
    if (error?.syscall === "write" && this.readableLength === 0) this.rest = readAll(descriptorOf(this));
    super._destroy(error, callback);
  }
}

/** Node has no public name for it; without one nothing is read. */
const descriptorOf = (socket: Socket): number =>
  (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;

/** What can be read from a socket whose other side has closed; undefined if that may not be all. */
const readAll = (descriptor: number): Buffer | undefined => {
  const parts: Buffer[] = [];
  let resets = 0;
  if (descriptor < 0) return undefined;
  for (;;) {
    const part = Buffer.allocUnsafe(READ_BYTES);
    try {
      const size = readSync(descriptor, part);
      if (size === 0) return Buffer.concat(parts);
      parts.push(part.subarray(0, size));
    } catch (error) {
      // The other side left something unread: said once, then comes the end.
      if ((error as NodeJS.ErrnoException).code !== "ECONNRESET" || resets > 0) return undefined;
      resets += 1;
    }
  }
};
