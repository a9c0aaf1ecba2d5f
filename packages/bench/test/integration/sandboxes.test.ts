import { beforeAll, describe, expect, it } from "vitest";

import {
  type Results,
  type Row,
  runChurn,
  runCompare,
  runCreate,
  runDensity,
  runWarm,
  runZygote,
} from "../../src/index.ts";

const CHOICE = {
  engines: ["sock"],
  skipped: [],
  network: "none",
  progress: () => undefined,
} as const;

/** Another Python that begins or ends meanwhile changes what its libraries' pages count for those that share them (PSS). */
const DISTURBED = { retry: 3 } as const;

const rowsWith = ({ rows }: Results, labels: Readonly<Record<string, string | number>>): Row[] =>
  rows.filter((row) => Object.entries(labels).every(([name, value]) => row.labels?.[name] === value));

const rowOf = (results: Results, labels: Readonly<Record<string, string | number>>): Row => {
  const [row] = rowsWith(results, labels);
  if (row === undefined) throw new Error(`there is no row ${JSON.stringify(labels)}`);
  return row;
};

/** The quickest tenth, which says least of what the machine did besides. */
const quickestOf = (results: Results, labels: Readonly<Record<string, string | number>>): number =>
  rowOf(results, labels).values.p10;

const medianOf = (results: Results, labels: Readonly<Record<string, string | number>>): number => {
  const found = rowsWith(results, labels);
  expect(found.map(({ labels: shown }) => shown)).toEqual([expect.objectContaining(labels)]);
  return rowOf(results, labels).values.median;
};

describe("ol-bench create", () => {
  let results: Results;
  beforeAll(async () => {
    results = await runCreate({ ...CHOICE, atOnce: [1, 2], samples: 4, prepared: 0 });
  });

  it("has every step of each start, by how many are made at once", () => {
    for (const atOnce of [1, 2])
      for (const what of [
        "to the broker",
        "broker: place",
        "to the zygote",
        "leaf: fork",
        "leaf: cgroup",
        "leaf: namespaces",
        "leaf: mounts",
        "leaf: hello",
        "leaf: code",
        "from the leaf",
        "create and connect",
        "first call",
        "destroy",
      ]) {
        const counts = rowsWith(results, { engine: "sock", atOnce, what }).map(({ values }) => values.count);
        expect([what, ...counts]).toEqual([what, 4]);
      }
  });

  it("has steps that are in order and together no longer than the start", () => {
    const all = rowOf(results, { atOnce: 1, what: "all, to the first reply" });
    const steps = rowsWith(results, { atOnce: 1 }).filter(({ labels }) =>
      /^(?:leaf: |to the |from the )/u.test(String(labels?.["what"])),
    );
    const sum = steps.reduce((ms, { values }) => ms + values.mean, 0);
    expect(steps.every(({ values }) => values.p10 >= 0)).toBe(true);
    expect(sum).toBeLessThan(all.values.mean);
    // Nothing but the first call is missing of it.
    const call = rowOf(results, { atOnce: 1, what: "first call" });
    expect(sum + call.values.mean).toBeGreaterThan(all.values.mean / 2);
  });

  it("leaves out what a process did before it was wanted, if it had waited", async () => {
    const prepared = await runCreate({ ...CHOICE, atOnce: [1], samples: 3, prepared: 1 });
    expect(rowsWith(prepared, { what: "leaf: fork" }).length).toBe(0);
    expect(rowsWith(prepared, { what: "leaf: attach" })[0]?.values.count).toBe(3);
  });
});

describe("ol-bench zygote", () => {
  it("has a start from the root, from each zygote of a chain, and with the imports done afresh", async () => {
    const results = await runZygote({ ...CHOICE, packages: 2, modules: 60, samples: 5, prepared: 0 });
    const imported = quickestOf(results, { what: "from the root, imports 2 packages" });
    expect(quickestOf(results, { what: "from a zygote with all 2" })).toBeLessThan(imported);
    expect(quickestOf(results, { what: "from zygote 2 of a chain, imports 0" })).toBeLessThan(imported);
    expect(medianOf(results, { what: "of which its import" })).toBeLessThan(
      medianOf(results, { what: "a zygote with one package" }),
    );
  });
});

describe("ol-bench warm", () => {
  it("has times and CPU of a call in the engine alone and through a worker", async () => {
    const results = await runWarm({ ...CHOICE, atOnce: [2], warmupMs: 1_000, durationMs: 3_000 });
    expect(medianOf(results, { level: "engine", what: "call" })).toBeGreaterThan(0);
    expect(medianOf(results, { level: "engine", what: "cpu" })).toBeGreaterThan(0);
    expect(medianOf(results, { level: "worker", what: "throughput" })).toBeGreaterThan(0);
    expect(medianOf(results, { level: "worker", what: "p99" })).toBeGreaterThanOrEqual(
      medianOf(results, { level: "worker", what: "p50" }),
    );
  });
});

describe("ol-bench churn", () => {
  it("has each part of a sandbox's life, for each number of clients and of paused ones", async () => {
    const results = await runChurn({
      ...CHOICE,
      clients: [1, 2],
      paused: [2, 0],
      durationMs: 300,
      prepared: 1,
    });
    for (const clients of [1, 2])
      for (const paused of [0, 2]) {
        for (const what of ["create", "pause", "unpause", "destroy"])
          expect(medianOf(results, { clients, paused, what })).toBeGreaterThan(0);
        expect(medianOf(results, { clients, paused, what: "lives" })).toBeGreaterThan(0);
      }
  });
});

describe("ol-bench density", () => {
  it("has what one more sandbox holds, idle and paused, and how many fit into a GiB", DISTURBED, async () => {
    const results = await runDensity({ ...CHOICE, sandboxes: 3, prepared: 0 });
    for (const state of ["idle", "paused"]) {
      const pss = medianOf(results, { state, what: "pss" });
      // A process holds something, and less than its limit.
      expect(pss).toBeGreaterThan(0.1);
      expect(pss).toBeLessThan(50);
      expect(medianOf(results, { state, what: "density" })).toBeCloseTo(1_024 / pss, 6);
      expect(medianOf(results, { state, what: "counted" })).toBeGreaterThan(0);
    }
  });
});

describe("ol-bench compare", () => {
  it(
    "runs the same function in the engine and in whatever else there is, and says what it leaves out",
    { ...DISTURBED, timeout: 180_000 },
    async () => {
      // Not podman, which leaves a process and directories of its own behind.
      const others = ["bubblewrap", "docker", "runc"];
      const results = await runCompare({
        ...CHOICE,
        peers: ["python", ...others],
        rounds: 2,
        calls: 2,
        living: 3,
      });
      const taking = ["sock", "sock, prepared", "python3"];
      for (const contender of taking)
        for (const what of ["created", "cold", "warm", "ended"])
          expect(medianOf(results, { contender, what })).toBeGreaterThan(0);
      expect(medianOf(results, { contender: "sock", what: "pss" })).toBeGreaterThan(0);
      const found = new Set(
        results.rows.map(({ labels }) => String(labels?.["contender"]).replace(" run", "")),
      );
      const skipped = (results.skipped ?? []).map(({ name }) => name).filter((name) => others.includes(name));
      // Each of them is in exactly one of the two.
      const shown = [...others.filter((name) => found.has(name)), ...skipped];
      expect(shown.toSorted()).toEqual(others);
      for (const { reason } of results.skipped ?? []) expect(reason).not.toBe("");
    },
  );
});
