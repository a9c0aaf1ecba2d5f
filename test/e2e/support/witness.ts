import { agentClient } from "../../../packages/worker/test/http/clients.ts";

/** Counts its calls, so that each reply shows that the same sandbox ran every call before it, and ran it once. */
export const WITNESS = "calls = 0\n\ndef f(event):\n    global calls\n    calls += 1\n    return calls\n";

/** Between two calls of a witness: it shall be there all the time, and leave the machine to the others. */
const PACE_MS = 10;

/** A client of a lambda that nobody attacks: calls it one time after the other and notes whatever is not as it should. */
export class Witness {
  readonly #send: () => Promise<{ status: number; body: Buffer }>;
  readonly #client = agentClient();
  readonly #loop: Promise<void>;
  #stopped = false;
  readonly #wrong: string[] = [];
  #waiting: { readonly enough: number; readonly resolve: () => void }[] = [];
  /** The longest that a call took. */
  longestMs = 0;
  /** Replies so far. */
  answered = 0;

  constructor(port: number, lambda: string) {
    const request = { method: "POST", path: `/run/${lambda}`, body: "{}" };
    this.#send = () => this.#client.send(port, request);
    this.#loop = this.#run();
  }

  /** Everything that went wrong so far, once one more call was answered that began after this. */
  async wrong(): Promise<readonly string[]> {
    const enough = this.answered + 2;
    await new Promise<void>((resolve) => this.#waiting.push({ enough, resolve }));
    return this.#wrong;
  }

  async close(): Promise<void> {
    this.#stopped = true;
    await this.#loop;
    await this.#client.close();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const beganMs = performance.now();
      await this.#once();
      this.longestMs = Math.max(this.longestMs, performance.now() - beganMs);
      this.#wake();
      await new Promise((resolve) => setTimeout(resolve, PACE_MS));
    }
  }

  /** Who waits for replies hears at once if there will be none, or wrong ones. */
  #wake(): void {
    const due = (enough: number): boolean => this.answered >= enough || this.#wrong.length > 0;
    for (const { enough, resolve } of this.#waiting) if (due(enough)) resolve();
    this.#waiting = this.#waiting.filter(({ enough }) => !due(enough));
  }

  async #once(): Promise<void> {
    try {
      const { status, body } = await this.#send();
      this.answered += 1;
      const expected = String(this.answered);
      const text = body.toString();
      if (status !== 200 || text !== expected) this.#wrong.push(`${status} ${text} and not ${expected}`);
    } catch (error) {
      this.#wrong.push(String(error));
    }
  }
}
