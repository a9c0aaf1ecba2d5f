import type { WorkerRequest } from "./exchange.ts";

/** What takes a request's body as it comes. */
export interface BodyTaker {
  /** False: no more until `flow`. */
  write(data: Buffer): boolean;
  endBody(): void;
}

/** A client that still sends a body that nobody wants has so long to finish, before its connection is closed. */
const UNWANTED_MS = 2_000;

/** A request's body on its way to an app: read no faster than the app takes it. */
export class RequestBody {
  readonly #request: WorkerRequest;
  #taker: BodyTaker | undefined;
  /** The app was there to take it. */
  begun = false;
  /** Bytes that came; who watches for bodies that stop coming looks at it. */
  bytes = 0;
  /** The app has taken all there is: if nothing comes now, that is the client's doing. */
  flowing = false;

  constructor(request: WorkerRequest) {
    this.#request = request;
    request.pause();
  }

  /** There is room for more. `begin` is called before the first time. */
  flow(taker: BodyTaker, begin: () => void): void {
    this.#taker = taker;
    this.flowing = true;
    if (this.begun) {
      this.#request.resume();
      return;
    }
    this.begun = true;
    begin();
    this.#request.on("data", (data: Buffer) => {
      this.bytes += data.length;
      if (this.#taker === undefined || this.#taker.write(data)) return;
      this.flowing = false;
      this.#request.pause();
    });
    this.#request.on("end", () => {
      this.flowing = false;
      this.#taker?.endBody();
    });
    this.#request.resume();
  }

  /** Nobody takes it any more: what still comes of it is read and dropped. */
  ignore(): void {
    this.#taker = undefined;
    this.flowing = false;
    this.#request.resume();
  }

  /** As `ignore`, but only for a while. */
  drop(): void {
    this.ignore();
    if (this.#request.complete || this.#request.destroyed) return;
    const timer = setTimeout(() => this.#request.destroy(), UNWANTED_MS);
    const over = (): void => clearTimeout(timer);
    this.#request.once("end", over);
    this.#request.once("close", over);
  }
}
