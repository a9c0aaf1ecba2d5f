import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { describeLoad, describeMachine } from "../machine.ts";
import { realPython } from "../python.ts";
import { atMost, type Results, type Row } from "../results.ts";
import { pairedRatios, summarize } from "../statistics.ts";
import { helloWith, makeSite, startWorker } from "../worker.ts";

export interface InstallOptions {
  readonly pairs: number;
  /** Told what begins. */
  readonly progress: (what: string) => void;
}

export const DEFAULT_INSTALL: Omit<InstallOptions, "progress"> = { pairs: 5 };

/** In these versions, so that later runs measure the same. */
const REQUIREMENTS = ["numpy==2.4.6", "pandas==3.1.1"];
const LAMBDA = "installs";
const INSTALL_MS = 600_000;
const MEMORY_MB = 4_096;
const MOST_OF_UV = 1.3;
const run = promisify(execFile);

const findUv = async (python: string): Promise<string> => {
  const { stdout } = await run(python, ["-c", "import uv; print(uv.find_uv_bin())"]);
  return stdout.trim();
};

/** `uv pip install --target` into a new directory, with an empty cache; in ms. */
const byHand = async (uv: string, python: string): Promise<number> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-bench-uv-"));
  try {
    const target = join(directory, "target");
    const cache = join(directory, "cache");
    const begunMs = performance.now();
    await run(
      uv,
      ["pip", "install", "--python", python, "--target", target, "--cache-dir", cache, ...REQUIREMENTS],
      { timeout: INSTALL_MS },
    );
    return performance.now() - begunMs;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
};

/** The first call of a lambda whose packages nobody has, on a worker that is there, less a call of one without packages; in ms. */
const byWorker = async (python: string): Promise<number> => {
  const site = await makeSite();
  try {
    await site.addLambda("hello");
    // It imports nothing: only the installation is to be seen.
    await site.addLambda(LAMBDA, {
      "f.py": helloWith([]),
      "packages.txt": `${REQUIREMENTS.join("\n")}\n`,
    });
    const worker = await startWorker({
      site,
      name: "worker",
      python,
      memoryMb: MEMORY_MB,
      settings: { install_wait_ms: INSTALL_MS },
    });
    try {
      const helloMs = await worker.call("hello");
      return (await worker.call(LAMBDA, INSTALL_MS)) - helloMs;
    } finally {
      await worker[Symbol.asyncDispose]();
    }
  } finally {
    await site[Symbol.asyncDispose]();
  }
};

/** Installing numpy and pandas where nothing is cached: by a worker, and by hand; in turns, who is first changes. */
export const runInstall = async ({ pairs, progress }: InstallOptions): Promise<Results> => {
  const notes = describeLoad();
  const python = await realPython();
  const uv = await findUv(python);
  const worker: number[] = [];
  const hand: number[] = [];
  for (let pair = 0; pair < pairs; pair += 1) {
    progress(`pair ${pair + 1} of ${pairs}`);
    if (pair % 2 === 0) worker.push(await byWorker(python));
    hand.push(await byHand(uv, python));
    if (pair % 2 === 1) worker.push(await byWorker(python));
  }
  const ratios = pairedRatios(worker, hand);
  const rows: Row[] = [
    { name: "uv pip install --target, by hand", unit: "ms", values: summarize(hand), ratios: {} },
    {
      name: "first call of a worker",
      unit: "ms",
      values: summarize(worker),
      ratios: { "uv by hand": ratios },
    },
  ];
  return {
    machine: describeMachine(python),
    rows,
    aims: [atMost("installing numpy + pandas / uv by hand", ratios.median, MOST_OF_UV)],
    notes,
  };
};
