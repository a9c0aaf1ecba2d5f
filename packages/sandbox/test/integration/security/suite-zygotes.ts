import { readFileSync } from "node:fs";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { descendantsOf, pidNumbers, statFields } from "../../support/leftovers.ts";
import { type Engine, Host, type Mode, type ProbedSandbox } from "./host.ts";
import { attributeOf, makePlain } from "./zygote-kit.ts";

const LEAVES = process.env["OL_TEST_SOAK"] === "1" ? 1000 : 40;
const AT_ONCE = 10;
/** So many that what the kernel charges their zygote for them is several times its limit. */
const CARRIED = 100;

/** The control groups that a process is in. */
const groupOf = (pid: number): string => readFileSync(`/proc/${pid}/cgroup`, "latin1");

const depthOf = (pid: number): number => pidNumbers(pid).length;

/** [init, zygote] of each zygote with packages: an init has a PID namespace of its own, with its zygote in it. */
const childZygotes = (brokerPid: number): [number, number][] => {
  const below = descendantsOf(brokerPid);
  const [root] = below;
  return below.flatMap((init): [number, number][] => {
    if (init === root || pidNumbers(init).at(-1) !== 1) return [];
    const zygote = below.find(
      (pid) => Number(statFields(pid)?.[1]) === init && depthOf(pid) === depthOf(init),
    );
    return zygote === undefined ? [] : [[init, zygote]];
  });
};

/** Zygotes with packages, such as people write them. */
export const describeZygotes = (mode: Mode): void => {
  let host: Host;
  let engine: Engine;

  beforeAll(async () => {
    host = await Host.open(mode);
    engine = await host.engine();
    await makePlain(engine);
  });

  afterAll(() => host[Symbol.asyncDispose]());

  describe("a zygote with packages", () => {
    it("hands down what it imported, and its packages only to sandboxes that name them", async () => {
      const value = { module: "ol_plain", attribute: "VALUE" };
      expect(await attributeOf(engine, "plain", value)).toBe("imported in advance");
      const sandbox = await engine.sandbox("none", { code: "forked", zygote: "plain", packages: ["random"] });
      const paths = (await sandbox.probe({ probe: "path", path: true })) as unknown as string[];
      expect(paths.filter((entry) => entry.startsWith("/packages"))).toEqual(["/packages/random"]);
      await sandbox.destroy();
    });

    it(`gives ${LEAVES} leaves different random values, also if it used every generator itself`, async () => {
      const spec = { packages: ["random"], modules: ["ol_random"] };
      expect(await engine.createZygote("random", spec)).toBeUndefined();
      expect(await engine.createZygote("random-2", { ...spec, parent: "random" })).toBeUndefined();
      const seen = new Map<string, Set<unknown>>();
      const one = async (_: unknown, index: number): Promise<void> => {
        const zygote = index % 2 === 0 ? "random" : "random-2";
        const sandbox = await engine.sandbox("none", { code: "forked", zygote });
        const drawn = await sandbox.probe({ probe: "draw", draw: true });
        for (const [source, value] of Object.entries(drawn))
          seen.set(source, (seen.get(source) ?? new Set()).add(value));
        await sandbox.destroy();
      };
      for (let made = 0; made < LEAVES; made += AT_ONCE)
        await Promise.all(Array.from({ length: AT_ONCE }, one));
      const sizes = Object.fromEntries([...seen].map(([source, values]) => [source, values.size]));
      const sources = ["random", "ssl", "uuid1", "uuid4", "secrets", "tempfile", "urandom"];
      expect(sizes).toEqual(Object.fromEntries(sources.map((source) => [source, LEAVES])));
    }, 240_000);

    it("draws nothing while it imports that its sibling draws too, also if their parent used every generator", async () => {
      const spec = { packages: ["random"], modules: ["ol_drawer"], parent: "used" };
      expect(
        await engine.createZygote("used", { packages: ["random"], modules: ["ol_random"] }),
      ).toBeUndefined();
      const drawn: Record<string, unknown>[] = [];
      for (const id of ["drawer-1", "drawer-2"]) {
        expect(await engine.createZygote(id, spec)).toBeUndefined();
        const values = { module: "ol_drawer", attribute: "VALUES" };
        drawn.push((await attributeOf(engine, id, values)) as Record<string, unknown>);
      }
      const [first = {}, second = {}] = drawn;
      expect(Object.keys(first)).toEqual(["random", "ssl", "uuid1", "tempfile"]);
      expect(Object.keys(first).filter((source) => first[source] === second[source])).toEqual([]);
    });

    it("has another process number than those above it: some generators tell a fork by nothing else", async () => {
      const spec = { packages: ["random"], modules: ["ol_random"] };
      expect(await engine.createZygote("above", spec)).toBeUndefined();
      const below = { ...spec, modules: ["ol_drawer"], parent: "above" };
      expect(await engine.createZygote("below", below)).toBeUndefined();
      const numbers = [
        await attributeOf(engine, "above", { module: "ol_random", attribute: "PID" }),
        await attributeOf(engine, "below", { module: "ol_drawer", attribute: "PID" }),
      ];
      // 1 is an init's, and a leaf's.
      expect(numbers).toEqual([3, 4]);
    });

    it(`carries ${CARRIED} leaves at once, which are none of its own memory`, async () => {
      const own = await host.engine();
      const limits = { memoryMb: 24, swappiness: 0, procs: 10, cpuPercent: 200, logMb: 1, scratchMb: 4 };
      expect(
        await own.createZygote("small", { packages: ["plain"], modules: ["ol_plain"], limits }),
      ).toBeUndefined();
      const value = { probe: "attribute", module: "ol_plain", attribute: "VALUE" };
      const leaves = [];
      for (let made = 0; made < CARRIED; made += AT_ONCE) {
        const one = (): Promise<ProbedSandbox> =>
          own.sandbox("none", { code: "forked", zygote: "small", limits: { memoryMb: 32 } });
        leaves.push(...(await Promise.all(Array.from({ length: AT_ONCE }, one))));
      }
      const values = await Promise.all(leaves.map((leaf) => leaf.probe(value)));
      expect(new Set(values)).toEqual(new Set(["imported in advance"]));
      await Promise.all(leaves.map((leaf) => leaf.destroy()));
      expect((await own.stats()).zygotes).toBe(1);
      expect(await attributeOf(own, "small", value)).toBe("imported in advance");
      await own[Symbol.asyncDispose]();
    }, 240_000);

    it("is in a control group of its own, and its init in neither that nor its parent's", async () => {
      const own = await host.engine();
      for (const [id, parent] of [["one"], ["two", "one"], ["three", "two"]] as const) {
        const spec = { packages: ["plain"], modules: ["ol_plain"], ...(parent !== undefined && { parent }) };
        expect(await own.createZygote(id, spec)).toBeUndefined();
      }
      const groups = childZygotes(own.brokerPid).flatMap((pair) => pair.map(groupOf));
      expect(groups).toHaveLength(6);
      const { memory, procs, cpu, pause } = own.enforcement;
      const grouped = [memory, procs, cpu, pause].some((means) => means.startsWith("cgroup"));
      expect(new Set(groups).size).toBe(grouped ? 6 : 1);
      await own[Symbol.asyncDispose]();
    });

    it("is nested 25 deep at most", async () => {
      const own = await host.engine();
      const spec = { packages: ["plain"], modules: [] };
      for (let depth = 1; depth <= 25; depth += 1) {
        const parent = depth === 1 ? {} : { parent: `deep-${depth - 1}` };
        expect(await own.createZygote(`deep-${depth}`, { ...spec, ...parent })).toBeUndefined();
      }
      const value = { module: "ol_plain", attribute: "VALUE" };
      expect(await attributeOf(own, "deep-25", value)).toBe("not loaded");
      const error = await own.createZygote("deep-26", { ...spec, parent: "deep-25" });
      expect(error).toMatchObject({ code: "OL_SANDBOX_BAD_OPTIONS" });
      await own[Symbol.asyncDispose]();
    });
  });
};
