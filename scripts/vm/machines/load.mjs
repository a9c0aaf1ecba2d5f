import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** Longer than anything may take: who is not answered by then never is. */
const CALL_MS = 180_000;
const BREATH_MS = 500;

/** What came of one call; status 0: no whole reply. */
export const call = (target, name, number) =>
  new Promise((resolve) => {
    const sentMs = performance.now();
    const end = (status, text) => resolve({ number, status, text, sentMs, endedMs: performance.now() });
    const options = { agent: false, method: "POST", signal: AbortSignal.timeout(CALL_MS) };
    const sent = request(`${target}/run/${name}`, options, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (piece) => (text += piece));
      response.once("error", (error) => end(0, String(error)));
      response.once("end", () => end(response.statusCode, text));
    });
    sent.once("error", (error) => end(0, String(error)));
    sent.end(JSON.stringify({ number }));
  });

/** Clients that call one lambda after the other, each a moment after it is answered, until they are told to stop. */
export class Load {
  outcomes = [];
  beganMs = performance.now();
  sent = 0;
  #stopped = false;
  #clients;

  constructor(target, names, clients) {
    this.#clients = Array.from({ length: clients }, () => this.#client(target, names));
  }

  async stop() {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  async #client(target, names) {
    while (!this.#stopped) {
      this.sent += 1;
      const number = `call-${this.sent}`;
      const outcome = await call(target, names[this.sent % names.length], number);
      this.outcomes.push(outcome);
      await sleep(BREATH_MS);
    }
  }
}
