import * as fc from "fast-check";

import type { SandboxExit } from "@ol/sandbox";

import type { Autoscaling } from "./autoscalers.ts";
import { checkInvariants } from "./invariants.ts";
import { type Deed, KINDS } from "./lambdas.ts";
import type { Manner } from "./model-call.ts";
import { INSTALLING } from "./packages.ts";
import type { Draft } from "./registry.ts";
import { NO_TROUBLE } from "./trouble.ts";
import type { Settings, World } from "./world.ts";

export const NAMES = ["f0", "f1", "f2", "f3", "f4"] as const;

/** The model is the world's own: fast-check needs none beside it. */
export type Nothing = Record<string, never>;

/** Does one thing, lets it take effect, and looks at everything. */
class Step implements fc.AsyncCommand<Nothing, World> {
  static taken = 0;
  readonly #text: string;
  readonly #act: (world: World) => unknown;
  readonly #forMs: number;

  constructor(text: string, act: (world: World) => unknown, forMs = 0) {
    this.#text = text;
    this.#act = act;
    this.#forMs = forMs;
  }

  check(): boolean {
    return true;
  }

  async run(_model: Nothing, world: World): Promise<void> {
    Step.taken += 1;
    await this.#act(world);
    // What is done at once shows in some; in others more is done before anything of it has come to rest.
    if (this.#forMs >= 0) await world.clock.advance(this.#forMs);
    if (this.#forMs >= 0) checkInvariants(world);
  }

  toString(): string {
    return this.#text;
  }
}

/** So many make a function's calls quick on average, whatever it did before. */
const QUICK_CALLS = 8;

/** Steps taken so far, in all worlds. */
export const stepsTaken = (): number => Step.taken;

const name = fc.constantFrom(...NAMES);

const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Deed>({ do: "answer" }) },
  {
    weight: 8,
    arbitrary: fc.integer({ min: 1, max: 2_500 }).map((ms): Deed => ({ do: "work", ms })),
  },
  { weight: 2, arbitrary: fc.constantFrom<Deed>({ do: "hang" }, { do: "ignore" }) },
  { weight: 2, arbitrary: fc.constantFrom<Deed>({ do: "exit" }, { do: "grow" }) },
  { weight: 2, arbitrary: fc.constantFrom<Deed>({ do: "raise" }, { do: "break" }) },
  { weight: 2, arbitrary: fc.constantFrom<Deed>({ do: "large" }, { do: "ahead" }) },
);

const textOf = (deed: Deed): string => ("ms" in deed ? `${deed.do} ${deed.ms}` : deed.do);

const manner = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Manner>("whole") },
  { weight: 3, arbitrary: fc.constantFrom<Manner>("pieces", "pieces", "stalls") },
  { weight: 3, arbitrary: fc.constantFrom<Manner>("reads slowly", "reads slowly", "reads nothing") },
);

/** -1: the next step follows before anything of this one has taken effect. */
const haste = fc.constantFrom(-1, 0, 0);

const call = fc
  .record({ name, deed, manner, waitMs: fc.constantFrom(undefined, undefined, undefined, 1, 300), haste })
  .map(
    ({ name, deed, manner, waitMs, haste }) =>
      new Step(
        `call(${name}, ${textOf(deed)}, ${waitMs}, ${manner}, ${haste})`,
        (world) => world.call(name, deed, waitMs, manner),
        haste,
      ),
  );

const burst = fc.record({ name, deed, count: fc.integer({ min: 2, max: 12 }), haste }).map(
  ({ name, deed, count, haste }) =>
    new Step(
      `burst(${name}, ${textOf(deed)}, ${count}, ${haste})`,
      (world) => {
        for (let left = count; left > 0; left -= 1) world.call(name, deed);
      },
      haste,
    ),
);

/**
 * Calls of a function that is known to be quick come when one has begun that has its sandbox read nothing until it is answered: they
 * are handed to that sandbox, and asked back.
 */
const behind = fc
  .record({ name, ms: fc.integer({ min: 1, max: 100 }), count: fc.integer({ min: 1, max: 3 }) })
  .map(
    ({ name, ms, count }) =>
      new Step(`behind(${name}, ${ms}, ${count})`, async (world) => {
        for (let quick = QUICK_CALLS; quick > 0; quick -= 1) {
          world.call(name, { do: "answer" });
          await world.clock.settle();
        }
        world.call(name, { do: "deaf", ms });
        await world.clock.settle();
        for (let left = count; left > 0; left -= 1) world.call(name, { do: "answer" });
      }),
  );

const leave = fc.record({ at: fc.nat(50), haste }).map(
  ({ at, haste }) =>
    new Step(
      `leave(${at}, ${haste})`,
      (world) => {
        const open = [...world.open].filter(({ wanted }) => wanted);
        open[at % Math.max(open.length, 1)]?.leave();
      },
      haste,
    ),
);

const pass = (min: number, max: number): fc.Arbitrary<Step> =>
  fc.integer({ min, max }).map((ms) => new Step(`pass(${ms} ms)`, () => undefined, ms));

const config = fc.record(
  {
    reuseSandbox: fc.constantFrom(true, false),
    minInstances: fc.integer({ min: 0, max: 2 }),
    maxInstances: fc.integer({ min: 1, max: 4 }),
    queue: fc.constantFrom(0, 2, 100, 100),
    concurrency: fc.constantFrom(2, 3, 8),
    limits: fc.constantFrom({}, { memoryMb: 20 }, { memoryMb: 90 }, { memoryMb: 1_000 }, { runtimeSec: 1 }),
  },
  { requiredKeys: [] },
);

const draft: fc.Arbitrary<Draft> = fc
  .record({
    kind: fc.constantFrom(...KINDS, "asgi"),
    load: fc.constantFrom("quick", "quick", "quick", "quick", "slow", "slow", "raises", "exits"),
    config,
    packages: fc.oneof(
      { weight: 4, arbitrary: fc.constant(undefined) },
      { weight: 2, arbitrary: fc.constantFrom(...INSTALLING) },
    ),
  })
  .map(({ packages, ...rest }): Draft => (packages === undefined ? rest : { ...rest, packages }));

const draftText = ({ kind, load, config, packages }: Draft): string =>
  `${kind}, ${load}, ${packages ?? "no packages"}, ${JSON.stringify(config)}`;

const deploy = fc
  .record({ name, draft })
  .map(
    ({ name, draft }) =>
      new Step(`deploy(${name}, ${draftText(draft)})`, (world) => world.registry.deploy(name, draft)),
  );

const OTHERS: Readonly<Record<string, (world: World, name: string) => void>> = {
  mistake: ({ registry }, name) => registry.deployMistake(name),
  remove: ({ registry }, name) => registry.remove(name),
  touch: ({ registry }, name) => registry.touch(name),
  back: ({ registry }, name) => registry.deployAgain(name, 1),
  "further back": ({ registry }, name) => registry.deployAgain(name, 2),
};

const otherDeployment = fc
  .record({ name, what: fc.constantFrom(...Object.keys(OTHERS)) })
  .map(({ name, what }) => new Step(`deploy(${name}, ${what})`, (world) => OTHERS[what]?.(world, name)));

const EXITS: readonly SandboxExit[] = [
  { reason: "exit", code: 1 },
  { reason: "signal", signal: "SIGKILL" },
  { reason: "lost", message: "its zygote died" },
];

const kill = fc.record({ at: fc.nat(20), exit: fc.nat(2), haste }).map(
  ({ at, exit, haste }) =>
    new Step(
      `kill(${at}, ${exit}, ${haste})`,
      ({ sandboxes, engine }) => {
        const all = [...sandboxes.all.values()];
        const watched = all[at % Math.max(all.length, 1)];
        const how = EXITS[exit];
        if (watched === undefined || how === undefined) return;
        // Whoever lost it knows that nothing was read, sometimes.
        const unread = how.reason === "lost" && watched.ran === 0;
        engine.end(watched.sandbox.id, unread ? { ...how, notStarted: true } : how);
      },
      haste,
    ),
);

const trouble = fc.oneof(
  fc.integer({ min: 1, max: 5 }).map((failing) => ({ failing })),
  fc.constantFrom(1, 40, 3_000).map((slowMs) => ({ slowMs, wasSlow: true })),
  fc.constantFrom({ stuck: true }, { pauseFails: true }, { resumeFails: true }, { heldMb: 45 }),
);

const disturb = trouble.map(
  (trouble) =>
    new Step(`trouble(${JSON.stringify(trouble)})`, (world) => Object.assign(world.trouble, trouble)),
);

const disturbRegistry = fc
  .record({ delayMs: fc.constantFrom(0, 5, 400, 8_000), down: fc.boolean() })
  .map(
    (trouble) =>
      new Step(`registry(${JSON.stringify(trouble)})`, (world) => Object.assign(world.registry, trouble)),
  );

/** Nothing is wrong with anything any more. */
export const calmDown = (world: World): void => {
  Object.assign(world.trouble, NO_TROUBLE);
  Object.assign(world.registry, { delayMs: 0, down: false });
};

const calm = fc.constant(new Step("calm()", calmDown));

const learn = name.map((name) => new Step(`learn(${name})`, (world) => world.learn(name)));

const keepWarm = fc.constant(new Step("keepWarm()", (world) => void world.manager.keepWarm()));

/** One step of a world. */
export const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 30, arbitrary: call },
  { weight: 8, arbitrary: burst },
  { weight: 8, arbitrary: leave },
  { weight: 22, arbitrary: pass(1, 60) },
  { weight: 10, arbitrary: pass(60, 3_000) },
  { weight: 3, arbitrary: pass(3_000, 60_000) },
  { weight: 1, arbitrary: pass(60_000, 900_000) },
  { weight: 7, arbitrary: deploy },
  { weight: 4, arbitrary: otherDeployment },
  { weight: 4, arbitrary: behind },
  { weight: 6, arbitrary: kill },
  { weight: 3, arbitrary: disturb },
  { weight: 2, arbitrary: disturbRegistry },
  { weight: 6, arbitrary: calm },
  { weight: 2, arbitrary: learn },
  { weight: 1, arbitrary: keepWarm },
);

export const settings: fc.Arbitrary<Settings> = fc.record({
  slots: fc.constantFrom(1, 2, 3, 3, 4, 5),
  memoryMb: fc.constantFrom(100, 150, 250, 600),
  maxQueued: fc.constantFrom(10, 30, 4_000, 4_000),
  maxQueuedPerFunction: fc.constantFrom(4, 1_000, 1_000),
  maxUnreadBytes: fc.constantFrom(0, 300_000, 10_000_000, 10_000_000),
  pauseLingerMs: fc.constantFrom(0, 100, 100, 1_000),
  registryCacheMs: fc.constantFrom(0, 300, 5_000),
  autoscaling: fc.constantFrom<Autoscaling>("default", "default", "default", "eager", "wild"),
});

/** What is there at the beginning: a function, one that is an app, and others. */
export const beginnings: fc.Arbitrary<readonly Draft[]> = fc.tuple(
  fc.constant<Draft>({ kind: "function", load: "quick", config: { limits: { memoryMb: 90 } } }),
  fc.constant<Draft>({ kind: "asgi", load: "quick", config: { concurrency: 3 } }),
  fc.constant<Draft>({ kind: "asgi", load: "quick", config: { concurrency: 2, maxInstances: 2 } }),
  fc.constant<Draft>({ kind: "asgi", load: "quick", config: { concurrency: 8 } }),
  draft,
);
