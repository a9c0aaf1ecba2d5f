import { messageOf } from "@ol/common";

import type { Context } from "../cli/command.ts";
import { escapeControls } from "../text.ts";
import { ask } from "../worker/http.ts";

const ASK_MS = 5000;
const NAME = /^[A-Za-z0-9._@:-]+$/u;
const KEY = /^[A-Za-z0-9._:-]+$/u;

/** What a worker of any version reports; names and keys that could mean something else in a configuration are left out. */
export const keysIn = (state: unknown): readonly (readonly [name: string, key: string])[] => {
  const { functions } = (state ?? {}) as { readonly functions?: unknown };
  return (Array.isArray(functions) ? (functions as readonly unknown[]) : []).flatMap((one) => {
    const { name, key } = (one ?? {}) as { readonly name?: unknown; readonly key?: unknown };
    if (typeof name !== "string" || typeof key !== "string" || !NAME.test(name) || !KEY.test(key)) return [];
    return [[name, key] as const];
  });
};

/** How many calls it runs at once, if it says so. */
const slotsIn = (state: unknown): number | undefined => {
  const { load } = (state ?? {}) as { readonly load?: unknown };
  const { slots } = (load ?? {}) as { readonly slots?: unknown };
  return Number.isSafeInteger(slots) && (slots as number) > 0 ? (slots as number) : undefined;
};

/** What workers say that another proxy in front of them has to know. */
export interface WorkerFacts {
  /** The package set of each lambda that has one, as far as the workers have seen its code. */
  readonly keys: ReadonlyMap<string, string>;
  /** By the worker's URL, calls that it runs at once. */
  readonly slots: ReadonlyMap<string, number>;
}

/** Asks the workers at these URLs. One that does not answer is said. */
export const workerFacts = async (
  urls: readonly string[],
  { output, signal }: Pick<Context, "output" | "signal">,
): Promise<WorkerFacts> => {
  const keys = new Map<string, string>();
  const slots = new Map<string, number>();
  for (const url of urls) {
    try {
      const { body } = await ask(`${url}/state`, { deadlineMs: ASK_MS, signal });
      const state: unknown = JSON.parse(body.toString("utf8"));
      for (const [name, key] of keysIn(state)) keys.set(name, key);
      const count = slotsIn(state);
      if (count !== undefined) slots.set(url, count);
    } catch (error) {
      signal.throwIfAborted();
      output.message(`${url} does not say what it knows of lambdas: ${escapeControls(messageOf(error))}`);
    }
  }
  return { keys: new Map([...keys].sort(([a], [b]) => (a < b ? -1 : 1))), slots };
};
