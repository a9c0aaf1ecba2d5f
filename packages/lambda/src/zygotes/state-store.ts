/** Where a keeper's state is between two runs of a worker. */
export interface StateStore {
  /** What was saved last; undefined if nothing was. Anything else than what was saved is recognised by whoever reads it. */
  load(): Promise<unknown>;
  save(state: unknown): Promise<void>;
}
