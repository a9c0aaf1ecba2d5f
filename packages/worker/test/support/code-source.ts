import { readdir } from "node:fs/promises";

import type { RegistryCodeSourceOptions } from "../../src/index.ts";
import { TestCluster, TestRegistry } from "./registry.ts";

export const HELLO = { "f.py": "def f(event): return 'hello'\n" } as const;
export const OTHER = { "f.py": "def f(event): return 'other'\n" } as const;

/** A registry, and a machine with a worker's source of code from it. */
export const setup = async (options: Partial<RegistryCodeSourceOptions> = {}) => {
  const registry = await TestRegistry.start();
  const cluster = await TestCluster.make();
  const client = registry.client();
  const source = await cluster.source(client, options);
  return { registry, cluster, client, source };
};

/** The digests on the shelf. */
export const shelved = async (cluster: TestCluster): Promise<readonly string[]> =>
  (await readdir(cluster.shelfDir)).filter((name) => /^[0-9a-f]{64}$/u.test(name));
