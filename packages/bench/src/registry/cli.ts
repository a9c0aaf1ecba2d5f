import { homedir } from "node:os";
import { join } from "node:path";

import { type NamedCommand, namedCommand } from "../command.ts";
import { formatTable } from "../table.ts";
import { DEFAULT_ROUNDS, QUICK_ROUNDS, runRegistry } from "./run.ts";

/** Where scripts/versitygw.sh puts it. */
const VERSITYGW = join(homedir(), ".cache/openlambda/versitygw-1.8.0/versitygw");

const OPTIONS = {
  quick: { type: "boolean", default: false },
  versitygw: { type: "string", default: VERSITYGW },
  minio: { type: "string" },
} as const;

/** `ol-bench registry`. */
export const REGISTRY: NamedCommand = namedCommand("registry", {
  about: "our registry beside other S3 servers, in turns, in one run",
  options: OPTIONS,
  help: `  --versitygw=FILE   default: ${VERSITYGW}, where scripts/versitygw.sh puts it
  --minio=FILE       without it MinIO takes no part
  --quick            few rounds: shows that it works, not how fast it is`,
  run: ({ quick, versitygw, minio }, progress) =>
    runRegistry({ ...(quick ? QUICK_ROUNDS : DEFAULT_ROUNDS), programs: { versitygw, minio }, progress }),
  format: formatTable,
});
