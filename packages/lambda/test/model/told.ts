import type { World } from "./world.ts";

/** What a balancer knows that follows the changes. */
export class ToldBalancer {
  #epoch: number | undefined;
  readonly #warm = new Set<string>();

  /** Follows what has changed, and compares that with what a balancer is told that asks for everything. */
  check(world: World): void {
    const { manager } = world;
    const now = manager.reported();
    const news = manager.reported(this.#epoch);
    // At first, or after more changes than the worker keeps.
    if (news.warm !== undefined) this.#warm.clear();
    for (const name of news.warm ?? []) this.#warm.add(name);
    for (const change of news.changes ?? []) {
      const name = change.slice(1);
      if (change.startsWith("+")) this.#warm.add(name);
      if (change.startsWith("-")) this.#warm.delete(name);
    }
    this.#epoch = news.epoch;
    const [followed, asked] = [this.#warm, new Set(now.warm)].map((names) => [...names].sort().join(" "));
    if (followed !== asked) world.fault(`by the changes, warm is: ${followed}; by the state: ${asked}`);
  }
}
