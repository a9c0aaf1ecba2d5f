import type { FunctionFacts } from "../policies/policy.ts";

/** More than workers of a cluster have at once; a hundred bytes or so each. */
const MOST = 100_000;

/** What is known of functions, from any worker that reported it. */
export class Catalogue {
  readonly #facts = new Map<string, FunctionFacts>();

  get(name: string): FunctionFacts | undefined {
    return this.#facts.get(name);
  }

  learn(name: string, facts: FunctionFacts): void {
    // Those that were reported last stand at the end.
    this.#facts.delete(name);
    this.#facts.set(name, facts);
    if (this.#facts.size <= MOST) return;
    for (const oldest of this.#facts.keys()) {
      this.#facts.delete(oldest);
      return;
    }
  }
}
