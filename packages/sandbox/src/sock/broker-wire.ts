import type { Socket } from "node:net";

const HEADER_BYTES = 4;
/** As in ol_host/wire.py, where a longer frame is the end of the broker. */
const FRAME_BYTES = 64 * 1024;

/** A message as it goes over the socket; undefined if it is too long for that. */
export const encodeFrame = (message: Record<string, unknown>): Buffer | undefined => {
  const body = Buffer.from(JSON.stringify(message));
  if (body.length > FRAME_BYTES) return undefined;
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  frame.writeUInt32BE(body.length);
  body.copy(frame, HEADER_BYTES);
  return frame;
};

/** The worker's end of the broker's socket: u32 length (big-endian) and JSON, both ways (see ol_host/wire.py). */
export class BrokerWire {
  readonly #socket: Socket;
  readonly #onMessage: (message: Record<string, unknown>) => void;
  #pending: Buffer = Buffer.alloc(0);

  constructor(socket: Socket, onMessage: (message: Record<string, unknown>) => void) {
    this.#socket = socket;
    this.#onMessage = onMessage;
    socket.on("data", (data: Buffer) => this.#onData(data));
    // A write to a broker that has just died fails here; its exit, which follows, is what gets acted on.
    socket.on("error", () => socket.destroy());
  }

  /** A frame made by `encodeFrame`. */
  send(frame: Buffer): void {
    this.#socket.write(frame);
  }

  /** The broker takes end-of-file as the request to end. */
  end(): void {
    this.#socket.end();
  }

  #onData(data: Buffer): void {
    let rest = this.#pending.length === 0 ? data : Buffer.concat([this.#pending, data]);
    while (rest.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + rest.readUInt32BE();
      if (rest.length < end) break;
      this.#onMessage(JSON.parse(rest.toString("utf8", HEADER_BYTES, end)) as Record<string, unknown>);
      rest = rest.subarray(end);
    }
    this.#pending = rest;
  }
}
