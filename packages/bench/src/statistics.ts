/** Middle and spread of one series of measurements. */
export interface Summary {
  readonly count: number;
  readonly mean: number;
  readonly p10: number;
  readonly median: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** The value below which `share` of the sorted values lie, interpolated; NaN for no values. */
export const quantile = (sorted: readonly number[], share: number): number => {
  const position = (sorted.length - 1) * share;
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  if (below === undefined || above === undefined) return Number.NaN;
  return below + (above - below) * (position - Math.floor(position));
};

export const summarize = (values: readonly number[]): Summary => {
  const sorted = [...values].sort((a, b) => a - b);
  return {
    count: sorted.length,
    mean: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
    p10: quantile(sorted, 0.1),
    median: quantile(sorted, 0.5),
    p90: quantile(sorted, 0.9),
    p99: quantile(sorted, 0.99),
    p999: quantile(sorted, 0.999),
    max: sorted.at(-1) ?? Number.NaN,
  };
};

/**
 * Ratios of two series that were measured in turns: value i of one over value i of the other. Pairs are taken
 * close in time, so what the machine does besides hits both.
 */
export const pairedRatios = (values: readonly number[], baseline: readonly number[]): Summary => {
  const ratios: number[] = [];
  for (const [index, value] of values.entries()) {
    const base = baseline[index];
    if (base !== undefined && base > 0) ratios.push(value / base);
  }
  return summarize(ratios);
};
