import * as fc from "fast-check";
import { expect, it } from "vitest";

import { beginnings, NAMES, settings, step, stepsTaken } from "./commands.ts";
import { checkEnd, type Ending } from "./ending.ts";
import { SEED, SLOWNESS, scaled } from "./environment.ts";
import { World } from "./world.ts";

const STEPS = scaled(10_000, 1_000_000);
const STEPS_IN_WORLD = 120;
/** Worlds after which it is counted how many steps there were. */
const WORLDS = 10;
/** A round takes a second or two; longer only if it looks for the shortest steps that fail. */
const ROUND_MS = 25_000 * SLOWNESS;
/** A large prime: runs whose seeds are close to each other have no world in common. */
const SEED_STEP = 982_451_653;
const TIMEOUT_MS = scaled(60_000, 7_200_000) * SLOWNESS;

/** Without these a run says little. */
const HAPPENS = [
  "answered",
  "dropped",
  "gone",
  "cut: OL_SANDBOX_EXITED",
  "cut: OL_SANDBOX_TIMEOUT",
  "cut: OL_SANDBOX_DESTROYED",
  "cut: OL_SANDBOX_APP_FAILED",
  "refused: OL_LAMBDA_QUEUE_FULL",
  "refused: OL_LAMBDA_WORKER_FULL",
  "refused: OL_LAMBDA_QUEUE_TIMEOUT",
  "refused: OL_LAMBDA_UNKNOWN",
  "refused: OL_BUNDLE_BAD_CONFIG",
  "refused: OL_SANDBOX_IMPORT_FAILED",
  "refused: OL_SANDBOX_CREATE_FAILED",
  "handed behind others",
  "handed beside others",
  "handed over again",
  "left its sandbox unread",
  "holds its sandbox unread",
  "evict",
  "paused",
  "resumed",
];

const tally: Record<string, number> = {};

const property = fc.asyncProperty(
  settings,
  beginnings,
  fc.commands([step], { maxCommands: STEPS_IN_WORLD, size: "max" }),
  fc.constantFrom<Ending>("heal", "heal", "drain", "close"),
  async (settings, drafts, steps, ending) => {
    const world = new World(settings, tally);
    try {
      for (const [at, name] of NAMES.entries()) {
        const draft = drafts[at];
        if (draft !== undefined) world.registry.deploy(name, draft);
      }
      await fc.asyncModelRun(() => ({ model: {}, real: world }), steps);
      await checkEnd(world, ending);
    } finally {
      await world.end();
    }
  },
);

it(
  "holds what it promises under random calls, deployments, crashes and shortages",
  async () => {
    // At once: what never ends tells nothing else.
    console.info(`seed ${SEED}`);
    for (let round = 0; stepsTaken() < STEPS; round += 1) {
      const seed = (SEED + round * SEED_STEP) % 2 ** 31;
      const result = await fc.check(property, {
        seed,
        numRuns: WORLDS,
        includeErrorInReport: true,
        interruptAfterTimeLimit: ROUND_MS,
      });
      expect(result.failed ? `OL_TEST_SEED=${seed}\n${fc.defaultReportMessage(result)}` : "").toBe("");
    }
    for (const what of HAPPENS) expect(tally[what], `how often: ${what}`).toBeGreaterThan(0);
    console.info(`${stepsTaken()} steps, ${JSON.stringify(tally)}`);
  },
  TIMEOUT_MS,
);
