/** Where a keeper's state is between two runs of a worker. */
export interface StateStore {
  /** What was saved last; undefined if nothing was. Anything else than what was saved is recognised by whoever reads it. */
  load(): Promise<unknown>;
  /** Replaces it, as a whole or not at all. `state` can be written as JSON. */
  save(state: unknown): Promise<void>;
}
