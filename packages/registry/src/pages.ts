import { isIP } from "node:net";

import type { Metrics } from "./metrics.ts";
import { s3Error } from "./s3-error.ts";

/** Who sees the pages with numbers: callers on this machine, everybody, nobody. */
export type PagesFor = "loopback" | "all" | "none";

/** One page. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

const TEXT_TYPE = "text/plain; charset=utf-8";
const PATHS = ["/status", "/metrics", "/stats"] as const;

const isLoopback = (address: string | undefined): boolean => {
  const plain = address?.replace(/^::ffff:/u, "") ?? "";
  return plain === "::1" || (isIP(plain) === 4 && plain.startsWith("127."));
};

/**
 * The pages beside the S3 protocol: `/status`, `/metrics`, `/stats`. Only requests without a signature get them; with one, these are
 * buckets like any other. So no bucket's name is taken away, and no client that knows only S3 is misled.
 */
export class Pages {
  readonly #metrics: Metrics;
  readonly #stats: () => unknown;
  readonly #draining: () => boolean;
  readonly #for: PagesFor;

  constructor(metrics: Metrics, stats: () => unknown, draining: () => boolean, pagesFor: PagesFor) {
    this.#metrics = metrics;
    this.#stats = stats;
    this.#draining = draining;
    this.#for = pagesFor;
  }

  /** Whether an anonymous request of that method and path is for a page. */
  static has(method: string, path: string): boolean {
    return (method === "GET" || method === "HEAD") && PATHS.some((page) => page === path);
  }

  /** `address` is the caller's. Fails with AccessDenied. */
  async page(path: string, address: string | undefined): Promise<Page> {
    if (path === "/status")
      return this.#draining()
        ? { status: 503, type: TEXT_TYPE, text: "draining" }
        : { status: 200, type: TEXT_TYPE, text: "ready" };
    if (this.#for !== "all" && !(this.#for === "loopback" && isLoopback(address)))
      throw s3Error("AccessDenied", "This page is not shown to callers from there.");
    if (path === "/metrics")
      return { status: 200, type: this.#metrics.contentType, text: await this.#metrics.text() };
    return { status: 200, type: "application/json", text: JSON.stringify(this.#stats()) };
  }
}
