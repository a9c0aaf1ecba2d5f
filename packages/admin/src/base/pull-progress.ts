/** What a daemon tells, a line of JSON each, while it pulls an image. */
export class PullProgress {
  readonly #layers = new Map<string, { readonly done: number; readonly total: number }>();

  /** The daemon's word for what went wrong, if that is what the line says; a line that is none of its kind says nothing. */
  take(line: string): string | undefined {
    let event: unknown;
    try {
      event = JSON.parse(line);
    } catch {
      // Progress only: what matters is whether the image is there afterwards.
      return undefined;
    }
    if (typeof event !== "object" || event === null) return undefined;
    const { error, id, progressDetail } = event as Record<string, unknown>;
    if (typeof error === "string") return error;
    const { current, total } = (progressDetail ?? {}) as Record<string, unknown>;
    // Of a layer that is being unpacked the same is told again, from nought.
    if (typeof id === "string" && typeof current === "number" && typeof total === "number")
      this.#layers.set(id, { done: Math.max(current, this.#layers.get(id)?.done ?? 0), total });
    return undefined;
  }

  /** Bytes of all layers so far known. */
  get done(): number {
    return this.#sum("done");
  }

  get total(): number {
    return this.#sum("total");
  }

  #sum(key: "done" | "total"): number {
    let sum = 0;
    for (const layer of this.#layers.values()) sum += layer[key];
    return sum;
  }
}
