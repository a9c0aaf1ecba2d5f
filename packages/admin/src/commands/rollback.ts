import { checkLambdaName, formatReference, parseReference } from "@ol/bundle";
import { LATEST } from "@ol/registry-client";

import { CLUSTER_OPTION, type Command, JSON_OPTION } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { openCluster } from "../cluster/discover.ts";
import { REGISTRY_OPTIONS, withAdvice } from "../registry/access.ts";
import { connectStore } from "../registry/store.ts";

export const rollbackCommand: Command = {
  name: "rollback",
  about: "make an older version of a lambda the one that is run; nothing is copied, and nothing is lost",
  positionals: [
    { name: "name", about: "the lambda", required: true },
    {
      name: "to",
      about: "its digest, the beginning of that, or a tag; default: what was there before",
      required: false,
    },
  ],
  options: {
    cluster: CLUSTER_OPTION,
    ...REGISTRY_OPTIONS,
    tag: { kind: "text", value: "TAG", about: "the tag that is moved; default latest" },
    json: JSON_OPTION,
  },
  async run(args, context) {
    const name = checkLambdaName(args.required("name"));
    const tag = parseReference(`${name}@${args.text("tag") ?? LATEST}`).tag ?? LATEST;
    const to = args.text("to");
    const { paths } = await openCluster(args, context);
    await using client = await connectStore("write", args, context, paths);
    const request = { name, tag, ...(to !== undefined && { to }) };
    const work = withAdvice(paths, client, client.rollback(request, context.signal));
    const { digest, previous } = await withProgress(context.output, `rolling ${name} back`, work);
    if (args.flag("json")) context.output.json({ name, tag, digest, previous });
    else context.output.result(formatReference({ name, digest }));
    context.output.message(
      `${formatReference({ name, tag })} was sha256:${previous.slice(0, 12)}; workers see the change within registry_cache_ms`,
    );
    return 0;
  },
};
