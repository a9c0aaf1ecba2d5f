import { allCompiled } from "../site-packages.ts";
import { type BenchSite, type BenchWorker, helloWith } from "../worker.ts";
import type { MixedLambda } from "./workload.ts";

/** How long installing may take. */
export const INSTALL_MS = 600_000;
const ALL = "all";

/** Adds the lambda that needs what all others need: one installation of all is quicker than one for each. */
export const addLambdaOfAll = async (site: BenchSite, lambdas: readonly MixedLambda[]): Promise<void> => {
  const all = new Set(lambdas.flatMap(({ pins }) => pins));
  await site.addLambda(ALL, { "f.py": helloWith([]), "packages.txt": `${[...all].join("\n")}\n` });
};

/** Has every package of these lambdas installed and compiled by the worker. */
export const installFor = async (
  site: BenchSite,
  worker: BenchWorker,
  lambdas: readonly MixedLambda[],
  progress: (what: string) => void,
): Promise<void> => {
  await worker.call(ALL, INSTALL_MS);
  progress("resolving what each lambda needs");
  for (const { name } of lambdas) await worker.call(name, INSTALL_MS);
  progress("compiling");
  await allCompiled(site, INSTALL_MS);
};
