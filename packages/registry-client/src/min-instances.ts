import { HANDLERS, isLambda, LATEST, tagKey } from "./layout.ts";
import type { ObjectAccess } from "./object-access.ts";
import { inParallel } from "./parallel.ts";
import type { Tags } from "./tags.ts";

/** Reads which lambdas want to be kept ready, and of those that did not change reads nothing again. */
export class MinInstances {
  readonly #objects: ObjectAccess;
  readonly #tags: Tags;
  /** By lambda, for the state of its tag that the listing showed. */
  #known = new Map<string, { readonly etag: string; readonly count: number }>();

  constructor(objects: ObjectAccess, tags: Tags) {
    this.#objects = objects;
    this.#tags = tags;
  }

  async read(signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
    const before = this.#known;
    const listed: { readonly name: string; readonly etag: string }[] = [];
    for await (const { key, etag } of this.#objects.list(HANDLERS, "list the lambdas", signal)) {
      const name = key.slice(HANDLERS.length).split("/", 1)[0] ?? "";
      if (isLambda(name) && key === tagKey(name, LATEST)) listed.push({ name, etag });
    }
    const read = await inParallel(listed, async ({ name, etag }) => {
      const known = before.get(name);
      if (known?.etag === etag) return [name, known] as const;
      // Of one that cannot be read the others must not suffer; who calls the lambda hears of it.
      const { states } = await this.#tags.surveyOf(name, [LATEST], signal);
      const count = states.get(LATEST)?.record.minInstances ?? 0;
      return [name, { etag, count }] as const;
    });
    this.#known = new Map(read);
    return new Map(read.flatMap(([name, { count }]) => (count > 0 ? [[name, count] as const] : [])));
  }
}
