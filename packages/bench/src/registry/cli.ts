import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { messageOf } from "@ol/common";

import { benchError } from "../errors.ts";
import { formatTable } from "../table.ts";
import { DEFAULT_ROUNDS, QUICK_ROUNDS, runRegistry } from "./run.ts";

/** Where scripts/versitygw.sh puts it. */
const VERSITYGW = join(homedir(), ".cache/openlambda/versitygw-1.8.0/versitygw");

const usage = `ol-bench registry: our registry beside other S3 servers, in turns, in one run

usage: ol-bench registry [--quick] [--json] [--versitygw=PROGRAM] [--minio=PROGRAM]

  --versitygw   default: ${VERSITYGW}, where scripts/versitygw.sh puts it
  --minio       without it MinIO takes no part
  --quick       few rounds: shows that it works, not how fast it is
  --json        prints the JSON only; otherwise a table comes first
  --help        this text
`;

const parse = (args: readonly string[]) => {
  const flag = { type: "boolean", default: false } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: flag,
        json: flag,
        help: flag,
        versitygw: { type: "string", default: VERSITYGW },
        minio: { type: "string" },
      },
    }).values;
  } catch (error) {
    throw benchError("OL_BENCH_USAGE", messageOf(error), { cause: error });
  }
};

const progress = (what: string): void => {
  process.stderr.write(`ol-bench: ${what}\n`);
};

/** The command `ol-bench registry`. */
export const runRegistryCommand = async (args: readonly string[]): Promise<void> => {
  const { quick, json, help, versitygw, minio } = parse(args);
  if (help) {
    process.stdout.write(usage);
    return;
  }
  const rounds = quick ? QUICK_ROUNDS : DEFAULT_ROUNDS;
  const results = await runRegistry({ ...rounds, programs: { versitygw, minio }, progress });
  if (!json) process.stdout.write(`${formatTable(results)}\n\n`);
  process.stdout.write(`${JSON.stringify(results)}\n`);
};
