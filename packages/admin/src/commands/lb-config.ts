import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { systemReason } from "@ol/common";

import { DEFAULT_BALANCER_PORT } from "../balancer/plan.ts";
import { haproxyFiles, nginxFiles, type ProxyFile, type ProxyPlan } from "../balancer/proxy-configs.ts";
import { workerFacts } from "../balancer/worker-facts.ts";
import { usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command } from "../cli/command.ts";
import { openCluster } from "../cluster/discover.ts";
import { adminError } from "../errors.ts";
import { asClusterFlag, shown } from "../text.ts";
import { runningUrls } from "../worker/reach.ts";

interface OtherProxy {
  readonly files: (plan: ProxyPlan) => readonly ProxyFile[];
  /** How it is run by hand. */
  readonly command: (configFile: string) => string;
}

const PROXIES: Readonly<Record<string, OtherProxy>> = {
  haproxy: { files: haproxyFiles, command: (file) => `haproxy -f ${file}` },
  nginx: { files: nginxFiles, command: (file) => `nginx -c ${file} -g 'daemon off;'` },
};

/** A name would mean each of its addresses, and so every worker twice. */
const addressOf = (url: string): string => new URL(url).host.replace(/^localhost:/u, "127.0.0.1:");

const write = async ({ path, text }: ProxyFile): Promise<void> => {
  try {
    await writeFile(path, text);
  } catch (error) {
    throw adminError("OL_ADMIN_FILE", `cannot write ${path}: ${systemReason(error)}`, { cause: error });
  }
};

export const lbConfigCommand: Command = {
  name: "lb-config",
  about:
    "write a configuration with which HAProxy or nginx stands before the cluster's workers instead of our balancer",
  positionals: [{ name: "proxy", about: "haproxy or nginx", required: true }],
  options: {
    cluster: CLUSTER_OPTION,
    port: {
      kind: "text",
      value: "P",
      about: `the port it listens on, at 127.0.0.1; default: ${DEFAULT_BALANCER_PORT}`,
    },
  },
  async run(args, context) {
    const name = args.required("proxy");
    const proxy = Object.hasOwn(PROXIES, name) ? PROXIES[name] : undefined;
    if (proxy === undefined) throw usageError(`lb-config is for haproxy or nginx, not ${shown(name)}`);
    const port = args.wholeNumber("port", 1, 65_535) ?? DEFAULT_BALANCER_PORT;
    const { paths } = await openCluster(args, context);
    const place = join(paths.config, name);
    // It stands between quotes in the configuration.
    if (/["\\$\n]/u.test(place)) throw adminError("OL_ADMIN_FILE", `${name} cannot read ${shown(place)}`);
    const urls = await runningUrls(paths);
    if (urls.length === 0)
      throw adminError(
        "OL_ADMIN_NO_WORKER",
        `no worker of this cluster runs; start some with: npx ol-admin workers ${asClusterFlag(paths.root)}`,
      );
    const { keys, slots } = await workerFacts(urls, context);
    const workers = urls.map((url) => ({ address: addressOf(url), slots: slots.get(url) }));
    const files = proxy.files({ port, workers, keys, place });
    for (const file of files) await write(file);
    for (const { path } of files) context.output.result(path);
    context.output.message(
      `${urls.length} workers, ${keys.size} lambdas with packages; run it with: ${proxy.command(files.at(-1)?.path ?? "")}`,
    );
    return 0;
  },
};
