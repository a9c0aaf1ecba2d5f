import { sandboxError } from "../errors.ts";
import { FrameViolation } from "./codec.ts";

interface Ping {
  readonly sentAtMs: number;
  timer: NodeJS.Timeout;
  readonly late: () => void;
  readonly timeoutMs: number;
  readonly resolve: (roundTripMs: number) => void;
  readonly reject: (error: Error) => void;
}

/** The PINGs that wait for their echo; the guest answers them in order. */
export class Pings {
  #next = 1;
  readonly #waiting = new Map<number, Ping>();

  /** Sends a PING by `write`; settles with the time to its echo, or fails with OL_SANDBOX_TIMEOUT. */
  send(write: (body: Buffer) => void, timeoutMs: number): Promise<number> {
    const id = this.#next++;
    const body = Buffer.alloc(8);
    body.writeDoubleBE(id);
    return new Promise((resolve, reject) => {
      const late = (): void =>
        reject(sandboxError("OL_SANDBOX_TIMEOUT", `No answer to a PING within ${timeoutMs} ms.`));
      const timer = setTimeout(late, timeoutMs);
      this.#waiting.set(id, { sentAtMs: performance.now(), timer, late, timeoutMs, resolve, reject });
      write(body);
    });
  }

  /** An echo came; throws FrameViolation if it is none. A late one is still an echo. */
  echo(body: Buffer): void {
    const id = body.length === 8 ? body.readDoubleBE(0) : 0;
    const ping = this.#waiting.get(id);
    if (ping === undefined) throw new FrameViolation("a PING that was not asked for");
    this.#waiting.delete(id);
    clearTimeout(ping.timer);
    ping.resolve(performance.now() - ping.sentAtMs);
  }

  /** None is late until `release`. */
  hold(): void {
    for (const ping of this.#waiting.values()) clearTimeout(ping.timer);
  }

  /** Those that wait have all their time again. */
  release(): void {
    for (const ping of this.#waiting.values()) ping.timer = setTimeout(ping.late, ping.timeoutMs);
  }

  fail(error: Error): void {
    for (const ping of this.#waiting.values()) {
      clearTimeout(ping.timer);
      ping.reject(error);
    }
    this.#waiting.clear();
  }
}
