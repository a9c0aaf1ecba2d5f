import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { describe, expect, it } from "vitest";

import { eventually } from "../../packages/sandbox/test/support/cluster.ts";
import { SLOWNESS } from "../../packages/sandbox/test/support/scale.ts";
import { LEDGER_PYTHON } from "./support/ledger.ts";
import { type Answer, clientsFor, LoadRig, named, quantile, report } from "./support/load.ts";

const CACHE_MS = 200;
const SWAP_MS = 300;
/** For so long there is no code where it is removed and copied anew. */
const AWAY_MS = 20;
const RUN_MS = 3_600;
const CLIENTS = 8;
/** After the cache time: to find the code, copy it, and load it in a sandbox beside the old ones. */
const TAKE_OVER_MS = 1_000 * SLOWNESS;
const BROKEN = "import no_such_module\n";

const versioned = (version: number): string =>
  `def f(event, context):\n    note(context)\n    return ${version}\n`;

/** A call, and when it was sent. */
interface Sent extends Answer {
  readonly atMs: number;
}

const file = (rig: LoadRig): string => join(rig.worker.registryDir, "swap", "f.py");

/** As people put a new version there. */
const WAYS = {
  /** A new directory in the place of the old; between the two renames there is none. */
  "another directory": (rig: LoadRig, version: number): void => {
    const { registryDir, directory } = rig.worker;
    const old = join(directory, "old");
    rig.add("fresh", versioned(version));
    renameSync(join(registryDir, "swap"), old);
    renameSync(join(registryDir, "fresh"), join(registryDir, "swap"));
    rmSync(old, { recursive: true });
  },
  /** `rm -r` and `cp -r`: for a while there is nothing, or a part. */
  "a copy where it was removed": async (rig: LoadRig, version: number): Promise<void> => {
    const { registryDir } = rig.worker;
    rig.add("fresh", versioned(version));
    rmSync(join(registryDir, "swap"), { recursive: true });
    await delay(AWAY_MS);
    mkdirSync(join(registryDir, "swap"));
    for (const name of ["ol.yaml", "f.py"]) {
      await delay(AWAY_MS / 2);
      renameSync(join(registryDir, "fresh", name), join(registryDir, "swap", name));
    }
    rmSync(join(registryDir, "fresh"), { recursive: true });
  },
  /** The file cut off and written again: it is empty for a moment. */
  "the file overwritten": (rig: LoadRig, version: number): void =>
    writeFileSync(file(rig), LEDGER_PYTHON + versioned(version)),
} as const;

const versionOf = ({ text }: Answer): number => Number(text);

/** Calls whose reply is of an older version than one that was known to its client, or had to be used by then. */
const outdated = (sent: readonly Sent[], written: ReadonlyMap<number, number>): string[] => {
  const wrong: string[] = [];
  for (const answer of sent) {
    for (const [version, atMs] of written)
      if (answer.atMs > atMs + CACHE_MS + TAKE_OVER_MS && versionOf(answer) < version)
        wrong.push(
          `version ${versionOf(answer)} ${Math.round(answer.atMs - atMs)} ms after version ${version}`,
        );
  }
  return wrong;
};

/** Replies that went back in one client's sequence of calls. */
const backwards = (sent: readonly Sent[]): string[] =>
  sent.flatMap((answer, at) => {
    const before = sent[at - 1];
    return before === undefined || versionOf(before) <= versionOf(answer) ? [] : named([before, answer]);
  });

const codeDirectories = (rig: LoadRig): string[] =>
  readdirSync(join(rig.worker.directory, "work/code")).filter((name) => name.startsWith("swap@"));

/** Until every client is done; what each of them heard. */
const load = async (rig: LoadRig): Promise<Sent[][]> => {
  const sent: Sent[][] = Array.from({ length: CLIENTS }, () => []);
  await clientsFor(CLIENTS, RUN_MS, async (client) => {
    const atMs = performance.now();
    const answer = await rig.call("swap", {});
    sent[client]?.push({ ...answer, atMs });
    return answer;
  });
  return sent;
};

describe("code that is replaced every 300 ms under load", () => {
  it.each(Object.entries(WAYS))(
    "by %s fails no call, and no client sees the old again",
    { retry: 2 },
    async (way, put) => {
      const rig = await LoadRig.start({ registry_cache_ms: CACHE_MS });
      rig.add("swap", versioned(0));
      const written = new Map<number, number>();
      const loaded = load(rig);
      for (let version = 1; version <= (RUN_MS - 1_500) / SWAP_MS; version += 1) {
        await delay(SWAP_MS);
        await put(rig, version);
        written.set(version, performance.now());
      }
      const clients = await loaded;
      const all = clients.flat();
      await rig.settled();
      expect(named(all.filter(({ status }) => status !== 200))).toEqual([]);
      expect(rig.miscounted(all)).toEqual([]);
      report(`code replaced by ${way}`, {
        calls: all.length,
        versions: written.size,
        seen: new Set(all.map(versionOf)).size,
        p99Ms: quantile(
          all.map(({ ms }) => ms),
          0.99,
        ),
      });
      expect(clients.flatMap(backwards)).toEqual([]);
      expect(outdated(all, written).slice(0, 5)).toEqual([]);
      expect(new Set(all.map(versionOf)).size).toBeGreaterThan(2);
      expect(await eventually(() => codeDirectories(rig).length === 1)).toBe(true);
    },
  );
});

describe("a broken version", () => {
  it("leaves the one before it serving, is told in /stats, and forgotten once it is mended", async () => {
    const rig = await LoadRig.start({ registry_cache_ms: CACHE_MS });
    rig.add("swap", versioned(1));
    const loaded = load(rig);
    const fault = async (): Promise<string> => (await rig.stats()).functions[0]?.fault ?? "none";
    const faultIs = (text: string): Promise<void> =>
      expect.poll(fault, { timeout: 5_000 * SLOWNESS }).toContain(text);
    await delay(SWAP_MS);
    writeFileSync(file(rig), BROKEN);
    await faultIs("No module named 'no_such_module'");
    expect((await rig.call("swap", {})).text).toBe("1");
    writeFileSync(join(rig.worker.registryDir, "swap", "ol.yaml"), "queue: many\n");
    await faultIs("queue: must be a whole number");
    const brokenUntilMs = performance.now();
    WAYS["another directory"](rig, 2);
    await faultIs("none");
    const all = (await loaded).flat();
    expect(named(all.filter(({ status }) => status !== 200))).toEqual([]);
    const whileBroken = all.filter(({ atMs, ms }) => atMs + ms < brokenUntilMs);
    expect(new Set(whileBroken.map(versionOf))).toEqual(new Set([1]));
    expect((await rig.call("swap", {})).text).toBe("2");
    expect(await eventually(() => codeDirectories(rig).length === 1)).toBe(true);
  });
});
