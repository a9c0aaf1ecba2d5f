import type { CallFailure } from "@ol/sandbox";

import { type ErrorReply, failureReply } from "./error-reply.ts";

/** A failure's text that comes in pieces is collected up to here. */
const MAX_BYTES = 256 * 1024;

/** A lambda's failure that comes in pieces. */
export class CollectedFailure {
  readonly #kind: CallFailure;
  readonly #parts: Buffer[] = [];
  #bytes = 0;

  constructor(kind: CallFailure) {
    this.#kind = kind;
  }

  add(data: Buffer): void {
    if (this.#bytes < MAX_BYTES) this.#parts.push(data);
    this.#bytes += data.length;
  }

  reply(): ErrorReply {
    return failureReply(this.#kind, Buffer.concat(this.#parts));
  }
}
