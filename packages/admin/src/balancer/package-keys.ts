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

/** The package set of each lambda that has one, as far as workers at these URLs have seen its code. One that does not answer is said. */
export const packageKeys = async (
  urls: readonly string[],
  { output, signal }: Pick<Context, "output" | "signal">,
): Promise<ReadonlyMap<string, string>> => {
  const keys = new Map<string, string>();
  for (const url of urls) {
    try {
      const { body } = await ask(`${url}/state`, { deadlineMs: ASK_MS, signal });
      for (const [name, key] of keysIn(JSON.parse(body.toString("utf8")))) keys.set(name, key);
    } catch (error) {
      signal.throwIfAborted();
      output.message(`${url} does not say what it knows of lambdas: ${escapeControls(messageOf(error))}`);
    }
  }
  return new Map([...keys].sort(([a], [b]) => (a < b ? -1 : 1)));
};
