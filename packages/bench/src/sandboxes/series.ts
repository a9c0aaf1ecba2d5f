import type { Row, Unit } from "../results.ts";
import { summarize } from "../statistics.ts";

/** Values by the name of what was measured, in the order in which each came up first. */
export class Series {
  readonly #values = new Map<string, number[]>();

  add(name: string, value: number): void {
    const values = this.#values.get(name);
    if (values === undefined) this.#values.set(name, [value]);
    else values.push(value);
  }

  /** A row for each: `prefix: name`. */
  rows(prefix: string, unit: Unit, labels: Readonly<Record<string, string | number>>): Row[] {
    return [...this.#values].map(([name, values]) => ({
      name: `${prefix}: ${name}`,
      unit,
      values: summarize(values),
      ratios: {},
      labels: { ...labels, what: name },
    }));
  }
}

/** One value as a row. */
export const single = (
  name: string,
  unit: Unit,
  value: number,
  labels: Readonly<Record<string, string | number>>,
): Row => ({ name, unit, values: summarize([value]), ratios: {}, labels });
