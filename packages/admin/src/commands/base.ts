import { usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, JSON_OPTION } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { hostConfigFile } from "../cluster/host-config.ts";
import { asRecord, checksIn, printReport } from "../worker/host-report.ts";
import { hostWork } from "../worker/host-work.ts";

export const baseCommand: Command = {
  name: "base",
  about: "say whether sandboxes run on the cluster's root file system, and what is in it (check)",
  positionals: [{ name: "action", about: "check", required: true }],
  options: { cluster: CLUSTER_OPTION, json: JSON_OPTION },
  async run(args, context) {
    if (args.required("action") !== "check") throw usageError("base needs the word check");
    const report = await withProgress(
      context.output,
      "making a sandbox on the base",
      hostWork(context, "base", hostConfigFile(args, context)),
    );
    const checks = checksIn(report);
    if (args.flag("json")) context.output.json(asRecord(report));
    else printReport(context.output, checks, report);
    return checks.length > 0 && checks.every(({ ok }) => ok) ? 0 : 1;
  },
};
