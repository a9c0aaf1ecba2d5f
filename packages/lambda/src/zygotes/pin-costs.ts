import { clamp, MOST_MB, MOST_MS } from "./constants.ts";
import type { Cost, PinId, PinReport } from "./policy.ts";
import { isRecord, isNumber } from "./saved.ts";

/** A lambda that is called with ever new packages must not fill the worker's memory. */
const MOST_PINS = 5_000;
/** Some packages have thousands of modules; those begun from outside are few. */
const MOST_MODULES = 64;
/** A build goes to the broker in one message of at most 64 KiB. */
const MOST_BUILD_CHARS = 32_768;
const MOST_NAME_CHARS = 128;
/** The newest start's weight is at least this. */
const LEAST_WEIGHT = 1 / 16;
/** From so many starts on, what half of them loaded is loaded in advance. */
const STARTS_FOR_HALF = 3;

const MODULE = /^[\p{L}_][\p{L}\p{N}_]*(?:\.[\p{L}_][\p{L}\p{N}_]*)*$/u;

interface PinStats {
  /** Starts that could have imported it. */
  starts: number;
  /** Means over these starts; or what our own zygote measured. */
  ms: number;
  mb: number;
  /** Measured by a zygote. What lambdas say changes it no more: they are anybody's. */
  measured: boolean;
  /** In how many starts each was loaded; in the order in which they were first seen. */
  readonly modules: Map<string, number>;
}

/** What importing each pin costs, and which modules lambdas load of it: learnt from what guests and zygotes say. */
export class PinCosts {
  readonly #pins = new Map<PinId, PinStats>();

  /** A start imported the pin itself; without a report it could have, and did not. */
  learn(pin: PinId, report: PinReport | undefined, topLevel: readonly string[] | undefined): void {
    const stats = this.#of(pin);
    stats.starts += 1;
    const weight = Math.max(1 / stats.starts, LEAST_WEIGHT);
    if (!stats.measured) {
      stats.ms += (clamp(report?.ms, MOST_MS) - stats.ms) * weight;
      stats.mb += (clamp(report?.mb, MOST_MB) - stats.mb) * weight;
    }
    for (const name of believable(report?.modules ?? [], topLevel)) {
      const count = stats.modules.get(name);
      if (count !== undefined) stats.modules.set(name, count + 1);
      else if (stats.modules.size < MOST_MODULES) stats.modules.set(name, 1);
    }
  }

  /** A zygote has imported these pins, and measured what they cost together: shared out as they were estimated. */
  measured(pins: readonly PinId[], cost: Cost): void {
    const estimate = this.sum(pins);
    for (const pin of pins) {
      const stats = this.#of(pin);
      stats.ms = estimate.ms > 0 ? (stats.ms * cost.ms) / estimate.ms : cost.ms / pins.length;
      stats.mb = estimate.mb > 0 ? (stats.mb * cost.mb) / estimate.mb : cost.mb / pins.length;
      stats.measured = true;
    }
  }

  /** Of all of them together. A pin that was never seen costs nothing: so no zygote is made for it. */
  sum(pins: Iterable<PinId>): Cost {
    let ms = 0;
    let mb = 0;
    for (const pin of pins) {
      const stats = this.#pins.get(pin);
      if (stats === undefined) continue;
      ms += stats.ms;
      mb += stats.mb;
    }
    return { ms, mb };
  }

  /**
   * What a zygote of these pins should import: of each what at least half of the starts loaded, and, while there are fewer
   * than three, what all of them did. Not the top-level names: importing scipy takes 50 ms, what people use of it 480. Of those of which
   * nothing was loaded yet, what they provide.
   */
  modules(pins: readonly PinId[], provides?: ReadonlyMap<PinId, readonly string[]>): readonly string[] {
    const modules: string[] = [];
    let chars = 0;
    for (const name of pins.flatMap((pin) => this.#wanted(pin) ?? provides?.get(pin) ?? [])) {
      chars += name.length;
      if (chars > MOST_BUILD_CHARS) break;
      modules.push(name);
    }
    return modules;
  }

  /** Undefined if nothing of it was ever loaded. */
  #wanted(pin: PinId): string[] | undefined {
    const stats = this.#pins.get(pin);
    if (stats === undefined || stats.modules.size === 0) return undefined;
    const least = stats.starts < STARTS_FOR_HALF ? stats.starts : stats.starts / 2;
    return [...stats.modules].filter(([, count]) => count >= least).map(([name]) => name);
  }

  save(): unknown {
    return [...this.#pins].map(([pin, { starts, ms, mb, measured, modules }]) => ({
      pin,
      starts,
      ms,
      mb,
      measured,
      modules: [...modules],
    }));
  }

  /** From what `save` returned; undefined if it is something else. */
  static restore(saved: unknown): PinCosts | undefined {
    if (!Array.isArray(saved) || saved.length > MOST_PINS) return undefined;
    const costs = new PinCosts();
    for (const entry of saved as unknown[]) {
      const parsed = parseStats(entry);
      if (parsed === undefined) return undefined;
      costs.#pins.set(...parsed);
    }
    return costs;
  }

  #of(pin: PinId): PinStats {
    const known = this.#pins.get(pin);
    if (known !== undefined) return known;
    const stats: PinStats = { starts: 0, ms: 0, mb: 0, measured: false, modules: new Map() };
    const [oldest] = this.#pins.keys();
    if (this.#pins.size >= MOST_PINS && oldest !== undefined) this.#pins.delete(oldest);
    this.#pins.set(pin, stats);
    return stats;
  }
}

/** Names that could be a module's of this pin, each once. */
const believable = (names: readonly string[], topLevel: readonly string[] | undefined): Set<string> => {
  const good = names.filter(
    (name) =>
      isModule(name) && (topLevel === undefined || topLevel.some((top) => `${name}.`.startsWith(`${top}.`))),
  );
  return new Set(good);
};

const isModule = (name: unknown): name is string =>
  typeof name === "string" && name.length <= MOST_NAME_CHARS && MODULE.test(name);

const isCount = (entry: unknown): entry is [string, number] =>
  Array.isArray(entry) && entry.length === 2 && isModule(entry[0]) && isNumber(entry[1]);

const parseStats = (value: unknown): [PinId, PinStats] | undefined => {
  if (!isRecord(value)) return undefined;
  const { pin, starts, ms, mb, measured, modules } = value;
  if (typeof pin !== "string" || !isNumber(starts) || !isNumber(ms) || !isNumber(mb)) return undefined;
  if (typeof measured !== "boolean" || !Array.isArray(modules) || modules.length > MOST_MODULES)
    return undefined;
  if (!modules.every(isCount)) return undefined;
  return [
    pin,
    { starts, ms: clamp(ms, MOST_MS), mb: clamp(mb, MOST_MB), measured, modules: new Map(modules) },
  ];
};
