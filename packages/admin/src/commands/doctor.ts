import { arch, release } from "node:os";

import { usableMemoryMb } from "@ol/config";

import { CLUSTER_OPTION, type Command, JSON_OPTION } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { hostConfigFile } from "../cluster/host-config.ts";
import { type Check, asRecord, checksIn, printReport } from "../worker/host-report.ts";
import { hostWork } from "../worker/host-work.ts";

const OLDEST_NODE = [20, 19] as const;

const checkNode = (version: string): Check => {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const ok = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  return {
    name: "node",
    ok,
    detail: ok ? version : `Node ${OLDEST_NODE.join(".")} or newer is needed, and this is ${version}`,
  };
};

export const doctorCommand: Command = {
  name: "doctor",
  about: "say what this machine lacks, and how to mend it",
  options: { cluster: CLUSTER_OPTION, json: JSON_OPTION },
  async run(args, context) {
    const report = await withProgress(
      context.output,
      "looking at this machine",
      hostWork(context, "doctor", hostConfigFile(args, context)),
    );
    const machine: Check = {
      name: "system",
      ok: true,
      detail: `Linux ${release()} on ${arch()}, ${usableMemoryMb()} MiB of memory`,
    };
    const checks = [checkNode(process.versions.node), machine, ...checksIn(report)];
    if (args.flag("json")) context.output.json({ ...asRecord(report), checks });
    else printReport(context.output, checks, report);
    return checks.every(({ ok }) => ok) ? 0 : 1;
  },
};
