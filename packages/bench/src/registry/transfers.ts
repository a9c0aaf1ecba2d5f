import { randomBytes } from "node:crypto";

import { benchError } from "../errors.ts";
import { type Aim, atMost, type Row } from "../results.ts";
import { pairedRatios, summarize } from "../statistics.ts";
import { renewed, type S3Wire } from "./s3-wire.ts";
import { BUCKET, type BenchStore } from "./stores.ts";

const KB = 1_000;
const SMALL = 20 * KB;
const LARGE = 50 * KB * KB;
const AT_ONCE = 8;
/** So many keys are written again and again. */
const KEYS_USED = 100;
/** "At least equal", measured. */
const MOST_OF_SMALL = 1.05;
const MOST_OF_LARGE_PUT = 1.3;

/** How often everything is done. */
export interface Rounds {
  readonly small: number;
  readonly large: number;
  readonly warmup: number;
}

interface Transfer {
  readonly name: string;
  readonly limit?: number;
  readonly rounds: number;
  readonly warmup: number;
  /** One of it, measured; in ms. */
  readonly once: (wire: S3Wire, round: number) => Promise<number>;
}

const timed = async (act: () => Promise<unknown>): Promise<number> => {
  const begunMs = performance.now();
  await act();
  return performance.now() - begunMs;
};

const pathOf = (size: number, number: number): string => `/${BUCKET}/${size}/${number % KEYS_USED}`;

const put =
  (size: number): Transfer["once"] =>
  async (wire, round) => {
    const content = renewed(randomBytes(size));
    return timed(() => wire.put(pathOf(size, size === LARGE ? 0 : round), content));
  };

const get =
  (size: number): Transfer["once"] =>
  (wire, round) =>
    timed(async () => {
      const bytes = await wire.get(pathOf(size, size === LARGE ? 0 : round));
      if (bytes !== size) throw benchError("OL_BENCH_WRONG_REPLY", `${bytes} bytes instead of ${size}`);
    });

const putManyAtOnce: Transfer["once"] = async (wire, round) => {
  const contents = Array.from({ length: AT_ONCE }, () => renewed(randomBytes(SMALL)));
  return timed(() =>
    Promise.all(contents.map((content, at) => wire.put(pathOf(SMALL, round * AT_ONCE + at), content))),
  );
};

const transfersOf = ({ small, large, warmup }: Rounds): readonly Transfer[] => [
  { name: "put 20 KB", limit: MOST_OF_SMALL, rounds: small, warmup, once: put(SMALL) },
  { name: "get 20 KB", limit: MOST_OF_SMALL, rounds: small, warmup, once: get(SMALL) },
  {
    name: `put ${AT_ONCE} x 20 KB at once`,
    rounds: Math.ceil(small / AT_ONCE),
    warmup: Math.ceil(warmup / AT_ONCE),
    once: putManyAtOnce,
  },
  { name: "put 50 MB", limit: MOST_OF_LARGE_PUT, rounds: large, warmup: 1, once: put(LARGE) },
  { name: "get 50 MB", rounds: large, warmup: 1, once: get(LARGE) },
];

/** Every transfer with every store, in turns; whoever begins changes. Ratios are ours over the other's. */
export const measureTransfers = async (
  stores: readonly BenchStore[],
  rounds: Rounds,
  progress: (what: string) => void,
): Promise<{ readonly rows: readonly Row[]; readonly aims: readonly Aim[] }> => {
  const rows: Row[] = [];
  const aims: Aim[] = [];
  for (const transfer of transfersOf(rounds)) {
    progress(transfer.name);
    const values = await inTurns(stores, transfer);
    const [[, ours = []] = []] = values;
    for (const [{ name }, its] of values) {
      const ratios = name === "ours" ? {} : { [`ours / ${name}`]: pairedRatios(ours, its) };
      rows.push({ name: `${transfer.name}: ${name}`, unit: "ms", values: summarize(its), ratios });
      if (transfer.limit !== undefined && name === "versitygw")
        aims.push(atMost(`${transfer.name}: ours / ${name}`, pairedRatios(ours, its).median, transfer.limit));
    }
  }
  return { rows, aims };
};

const inTurns = async (
  stores: readonly BenchStore[],
  { rounds, warmup, once }: Transfer,
): Promise<ReadonlyMap<BenchStore, number[]>> => {
  const values = new Map<BenchStore, number[]>(stores.map((store) => [store, []]));
  for (let round = 0; round < warmup + rounds; round += 1)
    for (const store of round % 2 === 0 ? stores : stores.toReversed()) {
      const ms = await once(store.wire, round);
      if (round >= warmup) values.get(store)?.push(ms);
    }
  return values;
};
