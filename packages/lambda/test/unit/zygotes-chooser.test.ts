import type { Logger } from "@ol/common";
import { SandboxPool } from "@ol/sandbox";
import { FakeEngine } from "@ol/sandbox/testing";
import { describe, expect, it, onTestFinished } from "vitest";

import {
  type Build,
  chooseMostSparing,
  type Decision,
  GrowingTree,
  type InstalledSet,
  NoZygotes,
  parseZygoteTree,
  type Start,
  StaticTree,
  type ZygoteCandidate,
  ZygoteKeeper as RealKeeper,
} from "../../src/index.ts";
import { packageSet, pin, ZygoteKeeper } from "../zygote-keeper.ts";

const COSTS = { numpy: { ms: 30, mb: 6 }, pandas: { ms: 150, mb: 31 } };
const numpy = packageSet("numpy");
const pandas = packageSet("pandas numpy", { pandas: "numpy" });

describe("a chooser of zygotes", () => {
  it("is asked with those that are ready and have nothing undeclared, and says which one it is", () => {
    const asked: (readonly ZygoteCandidate[])[] = [];
    const policy = new GrowingTree({
      budgetMb: 1000,
      chooser: (set, candidates) => {
        asked.push(candidates);
        // The smallest instead of the one that spares most.
        return candidates.toSorted((one, other) => one.mask.size - other.mask.size)[0]?.id;
      },
    });
    const keeper = new ZygoteKeeper(policy, COSTS);
    const small = keeper.settle(numpy);
    keeper.settle(pandas);
    expect(small).toBeDefined();
    asked.length = 0;
    expect(policy.choose(numpy)).toBe(small);
    expect(policy.choose(pandas)).toBe(small);
    const masks = asked.map((candidates) => candidates.map(({ mask }) => [...mask].toSorted()));
    expect(masks[0]).toEqual([[pin("numpy")]]);
    expect(masks[1]).toContainEqual([pin("numpy")]);
    expect(masks[1]).toContainEqual([pin("numpy"), pin("pandas")]);
    expect(chooseMostSparing(pandas, asked[1] ?? [])).not.toBe(small);
  });

  it("of a tree that was planned is asked too, and what is no candidate counts as the root", () => {
    const plan = parseZygoteTree({ packages: [], children: [{ packages: ["numpy"], children: [] }] });
    let answer: "first" | "strange" = "first";
    const policy = new StaticTree({
      plan,
      budgetMb: 1000,
      chooser: (_set, candidates) => (answer === "first" ? candidates[0]?.id : "z99"),
    });
    const keeper = new ZygoteKeeper(policy, COSTS);
    expect(keeper.settle(numpy)).toBeDefined();
    answer = "strange";
    expect(policy.choose(numpy)).toBeUndefined();
  });
});

/** Builds a zygote with the first set's packages, and would have every sandbox forked from it. */
class Reckless extends NoZygotes {
  #build: Build | undefined;

  override choose(): string {
    return "z1";
  }

  override started({ set: { pins } }: Start): Decision {
    if (this.#build !== undefined) return { evict: [] };
    this.#build = {
      node: "z1",
      parent: undefined,
      pins,
      mask: pins,
      modules: [],
      estimate: { ms: 1, mb: 1 },
    };
    return { evict: [], build: this.#build };
  }

  override built(): Decision {
    return { evict: [] };
  }
}

const installed = (...names: readonly string[]): InstalledSet => ({
  key: names.join(" "),
  packages: names.map((name) => ({
    name,
    version: "1",
    hashes: [],
    requires: [],
    id: `${name}==1+0123456789ab`,
    directory: `3/${name}-1-0123456789ab`,
    modules: [name],
  })),
});

const SPEC = {
  name: "echo",
  code: "echo",
  network: "none" as const,
  environment: {},
  limits: { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 1, scratchMb: 10 },
};

describe("a policy that would fork from a zygote with an undeclared package", () => {
  it("does not get its way: the sandbox is forked from the root, and that is complained of", async () => {
    const errors: unknown[] = [];
    const logger: Logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: (_message, fields) => void errors.push(fields?.["package"]),
    };
    const engine = new FakeEngine();
    const pool = SandboxPool.create({ engine, memoryMb: 1000 });
    const keeper = await RealKeeper.create({ pool, makePolicy: () => new Reckless(), logger });
    onTestFinished(async () => {
      await keeper.close();
      await pool.close();
      await engine.close();
    });
    const both = installed("numpy", "pandas");
    const first = await keeper.acquire(SPEC, both, {});
    await first.ready;
    await expect.poll(() => pool.stats().zygotes).toBe(1);
    const declared = await keeper.acquire(SPEC, both, {});
    expect(declared.meta.zygote).toBeDefined();
    expect(errors).toEqual([]);
    const undeclared = await keeper.acquire(SPEC, installed("numpy"), {});
    expect(undeclared.meta.zygote).toBeUndefined();
    expect(errors).toEqual(["pandas==1+0123456789ab"]);
  });
});

/** Builds a zygote as Reckless does, and then fails wherever it is asked, or says what is no answer. */
class OutOfOrder extends Reckless {
  readonly #how: "throws" | "says nothing";

  constructor(how: "throws" | "says nothing") {
    super();
    this.#how = how;
  }

  override choose(): string {
    return this.#fail();
  }

  override built(): Decision {
    return this.#fail();
  }

  override gone(): Decision {
    return this.#fail();
  }

  override save(): never {
    return this.#fail();
  }

  override snapshot(): never {
    return this.#fail();
  }

  #fail(): never {
    if (this.#how === "throws") throw new Error("out of order");
    return undefined as never;
  }
}

describe.each(["throws", "says nothing"] as const)("a policy that %s", (how) => {
  it("costs sandboxes their zygotes, and nothing else", async () => {
    const messages: string[] = [];
    const logger: Logger = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: (message) => void messages.push(message),
    };
    const engine = new FakeEngine();
    const pool = SandboxPool.create({ engine, memoryMb: 1000 });
    const keeper = await RealKeeper.create({ pool, makePolicy: () => new OutOfOrder(how), logger });
    onTestFinished(async () => {
      await pool.close();
      await engine.close();
    });
    const set = installed("numpy");
    const made: string[] = [];
    pool.on("zygote", ({ id }) => void made.push(id));
    const first = await keeper.acquire(SPEC, set, {});
    await first.ready;
    // What it built, it did not want to hear of.
    await expect.poll(() => made.length).toBe(1);
    await expect.poll(() => pool.stats().zygotes).toBe(0);
    const second = await keeper.acquire(SPEC, set, {});
    await second.ready;
    expect(second.meta.zygote).toBeUndefined();
    expect(messages).toContain("the zygote policy failed; nothing is decided");
    await keeper.close();
  });
});
