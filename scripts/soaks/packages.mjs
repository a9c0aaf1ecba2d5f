// Installs packages from the real index, each on a worker that has none, imports them, and starts sandboxes from a zygote that
// has imported them: a table of what that takes. A start is counted from the call to its reply.
// With arguments only those. Then numpy and pandas against `uv pip install --target` by hand, both with an empty cache.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { MEASURED_PACKAGES } from "../lib/measured-packages.mjs";
import { PackageWorker } from "../lib/package-worker.mjs";

const rounds = 3;
const megabyte = 1024 * 1024;
const requirementsOfRatio = ["numpy", "pandas"];

const importing = (modules) => `import time
_since = time.perf_counter()
import ${modules}
_MS = (time.perf_counter() - _since) * 1000
def f(event):
    return _MS
`;

/** What is measured of one package, from left to right; each may use what those before it left behind. */
const COLUMNS = [
  [
    "install ms",
    async (worker, { requirement }) => {
      await worker.lambda("install", requirement, "def f(event):\n    return 1\n");
      return Math.round((await worker.call("install")).ms);
    },
  ],
  ["packages", async (worker) => (await worker.stats()).packages.installed],
  ["MB", async (worker) => Math.round((await worker.stats()).packages.installedBytes / megabyte)],
  [
    "first import ms",
    async (worker, { requirement, modules }) => {
      await worker.lambda("first", requirement, importing(modules));
      return Math.round((await worker.call("first")).value);
    },
  ],
  [
    "compiled after ms",
    async (worker) => {
      const sinceMs = performance.now();
      await worker.compiled();
      return Math.round(performance.now() - sinceMs);
    },
  ],
  [
    "fresh import ms",
    async (worker, { requirement, modules }) => {
      const found = [];
      for (let round = 0; round < rounds; round += 1) {
        await worker.lambda(`fresh-${round}`, requirement, importing(modules));
        found.push((await worker.call(`fresh-${round}`)).value);
      }
      return Math.round(median(found));
    },
  ],
];

const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
const zygoteMs = 120_000;

/** The zygote of the tree, once it is there; or why it is not going to be. */
const zygoteOf = async (worker) => {
  for (const sinceMs = performance.now(); performance.now() - sinceMs < zygoteMs;) {
    const [tree] = (await worker.stats()).zygotes.trees;
    const [why] = Object.entries(tree?.excluded ?? {});
    if (why !== undefined) return `kept out: ${why[0].split("==")[0]}: ${why[1]}`;
    const node = tree?.nodes.at(-1);
    if (node?.state === "ready") return node;
    if (tree?.failed > 0) throw new Error("its zygote failed");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("its zygote was not made in time");
};

/** What a start takes, from the call to its reply, with all of it imported; from the root and from a zygote, which holds so much. */
const withZygote = async (packagesDirectory, { requirement, modules, zygote: packages }) => {
  const tree = { packages: [], children: [{ packages, children: [] }] };
  const worker = await PackageWorker.start({
    pkgs_dir: packagesDirectory,
    import_cache: "tree",
    import_cache_tree: tree,
  });
  try {
    await worker.lambda("cold", requirement, importing(modules), "reuse-sandbox: false\n");
    const startMs = async () => (await worker.call("cold")).ms;
    await startMs();
    const zygote = await zygoteOf(worker);
    const found = [];
    for (let round = 0; round < rounds; round += 1) found.push(await startMs());
    const { hit } = (await worker.stats()).zygotes.uses;
    if (typeof zygote === "string") return ["-", zygote];
    if (hit < rounds) throw new Error(`${rounds - hit} of ${rounds} starts were not from its zygote`);
    return [median(found).toFixed(1), zygote.mb.toFixed(1)];
  } finally {
    await worker.close();
  }
};

const rowOf = async (one) => {
  const worker = await PackageWorker.start({ import_cache: "off" });
  const cells = [];
  try {
    for (const [, measure] of COLUMNS) cells.push(String(await measure(worker, one)));
    cells.push(...(await withZygote(join(worker.directory, "packages"), one)));
    return { cells, failed: false };
  } catch (error) {
    return { cells: [...cells, error.message], failed: true };
  } finally {
    await worker.close();
  }
};

/** In ms, from the call to its reply. */
const ours = async () => {
  const worker = await PackageWorker.start();
  try {
    await worker.lambda("install", requirementsOfRatio.join("\n"), "def f(event):\n    return 1\n");
    return (await worker.call("install")).ms;
  } finally {
    await worker.close();
  }
};

const byHand = () => {
  const directory = mkdtempSync(join(tmpdir(), "ol-by-hand-"));
  try {
    const sinceMs = performance.now();
    const options = [
      "--quiet",
      "--target",
      join(directory, "target"),
      "--cache-dir",
      join(directory, "cache"),
    ];
    execFileSync("uv", ["pip", "install", ...options, ...requirementsOfRatio], { stdio: "inherit" });
    return performance.now() - sinceMs;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

const wanted = process.argv.slice(2);
const packages = MEASURED_PACKAGES.filter(
  ({ requirement }) => wanted.length === 0 || wanted.includes(requirement),
);
let failures = 0;
const titles = [...COLUMNS.map(([title]) => title), "start from its zygote ms", "zygote MB"];
console.log(`| package | ${titles.join(" | ")} |`);
console.log(`|---|${titles.map(() => "---").join("|")}|`);
for (const one of packages) {
  const { cells, failed } = await rowOf(one);
  if (failed) failures += 1;
  console.log(`| ${one.requirement} | ${cells.join(" | ")} |`);
}
if (spawnSync("uv", ["--version"]).status === 0) {
  const times = { ours: [], byHand: [] };
  for (let round = 0; round < rounds; round += 1) {
    times.byHand.push(byHand());
    times.ours.push(await ours());
  }
  const [first, second] = [median(times.ours), median(times.byHand)];
  console.log(
    `\nnumpy and pandas, nothing cached, medians of ${rounds}, alternating: ${Math.round(first)} ms until the first reply, ` +
      `${Math.round(second)} ms for uv pip install --target by hand; ratio ${(first / second).toFixed(2)}`,
  );
}
console.log(`\n${packages.length} packages, ${failures} failed`);
process.exit(failures > 0 ? 1 : 0);
