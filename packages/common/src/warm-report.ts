/** One change of what a worker has ready; see WarmReport. */
export interface WarmChange {
  /** `+`: the function has a sandbox now · `-`: it has none any more · `~`: something else, which the full state says. */
  readonly kind: "+" | "-" | "~";
  /** The function; empty for a `~` that concerns no single one. */
  readonly name: string;
}

/**
 * What of a worker's state has changed last. Each change makes the epoch one larger, so `changes` leads from
 * `epoch - changes.length` to `epoch`: who knows an older state than that has missed something.
 */
export interface WarmReport {
  readonly epoch: number;
  /** Oldest first. */
  readonly changes: readonly WarmChange[];
}

/** `X-OL-Warm: v=1;epoch=17;+f1,-f2` */
export const formatWarm = ({ epoch, changes }: WarmReport): string =>
  `v=1;epoch=${epoch};${changes.map(({ kind, name }) => kind + name).join(",")}`;

const REPORT = /^v=1;epoch=(?<epoch>[0-9]{1,15})(?:;(?<changes>.*))?$/u;
/** Of a lambda's reference, with a tag or a digest. */
const MAX_NAME = 300;

/** Reads a report; anything malformed or of another version is undefined. */
export const parseWarm = (text: string): WarmReport | undefined => {
  const { epoch, changes } = REPORT.exec(text)?.groups ?? {};
  if (epoch === undefined) return undefined;
  const read = readChanges(changes === undefined || changes === "" ? [] : changes.split(","));
  return read === undefined ? undefined : { epoch: Number(epoch), changes: read };
};

/** Reads changes as `+f1`, `-f2`, `~`; undefined if one of them is none. */
export const readChanges = (texts: readonly string[]): readonly WarmChange[] | undefined => {
  const changes: WarmChange[] = [];
  for (const text of texts) {
    const kind = text[0];
    if ((kind !== "+" && kind !== "-" && kind !== "~") || text.length > MAX_NAME) return undefined;
    changes.push({ kind, name: text.slice(1) });
  }
  return changes;
};
