import { splitTarget } from "@ol/common";
import type { HttpRequest } from "@ol/sandbox";

import type { WorkerRequest } from "./exchange.ts";

/** What an app hears of a request. Nothing of it is worked out before an app is what is called. */
export class HttpTarget implements HttpRequest {
  readonly #request: WorkerRequest;
  /** The request's path and query, beginning with /run/NAME. */
  readonly #target: string;

  constructor(request: WorkerRequest, target: string) {
    this.#request = request;
    this.#target = target;
  }

  get method(): string {
    return this.#request.method ?? "";
  }

  get mount(): string {
    return splitTarget(this.#target).mount;
  }

  get path(): string {
    return splitTarget(this.#target).path;
  }

  get query(): string {
    return splitTarget(this.#target).query;
  }

  get client(): string {
    return this.#request.socket.remoteAddress ?? "";
  }
}
