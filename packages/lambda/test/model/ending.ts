import { calmDown, NAMES } from "./commands.ts";
import { checkInvariants, failOnFaults } from "./invariants.ts";
import type { ModelCall } from "./model-call.ts";
import type { World } from "./world.ts";

/** heal: everything is mended, and has to work again · drain: what there is is finished · close: all is ended at once. */
export type Ending = "heal" | "drain" | "close";

/** Longer than code that was refused, or could not be loaded, is left alone. */
const REFUSED_MS = 61_000;
/** Within so many calls each function runs what was deployed last. */
const MOST_ROUNDS = 8;
/** Longer than any call, timer or wait. */
const LONG_MS = 60_000;

/** Ends a world, and looks that nothing is left of it. */
export const checkEnd = async (world: World, ending: Ending): Promise<void> => {
  await world.clock.settle();
  checkInvariants(world);
  if (ending !== "close") calmDown(world);
  if (ending !== "close") await leaveUnread(world);
  if (ending === "heal") await heal(world);
  if (ending !== "close") await drain(world);
  await close(world);
};

/** Nobody waits for those who read nothing. */
const leaveUnread = async (world: World): Promise<void> => {
  for (const call of world.open) if (call.manner === "reads nothing") call.leave();
  await world.clock.settle();
  checkInvariants(world);
};

const heal = async (world: World): Promise<void> => {
  for (const name of NAMES) world.registry.deploy(name, { kind: "function", load: "quick", config: {} });
  await world.clock.advance(REFUSED_MS);
  for (let round = 1; ; round += 1) {
    const calls: ModelCall[] = [];
    for (const name of NAMES) {
      calls.push(world.call(name, { do: "answer" }));
      await world.clock.advance(1_000);
      checkInvariants(world);
    }
    const behind = calls.filter((call) => !isServedByNewest(world, call));
    if (behind.length === 0) return;
    if (round < MOST_ROUNDS) continue;
    const texts = behind.map(({ lambda, phase, code, ranBy }) => `${lambda}: ${phase} ${code} ${ranBy}`);
    world.fault(`did not recover: ${texts.join(", ")}`);
    return failOnFaults(world);
  }
};

const isServedByNewest = (world: World, { lambda, phase, ranBy }: ModelCall): boolean =>
  phase === "answered" && ranBy === world.registry.deployed(lambda)?.digest;

const drain = async (world: World): Promise<void> => {
  let drained = false;
  void world.manager.drain().then(() => (drained = true));
  const refused = world.call(NAMES[0], { do: "answer" });
  await world.clock.settle();
  checkInvariants(world);
  if (refused.code !== "OL_LAMBDA_DRAINING") world.fault(`a call while draining was ${refused.phase}`);
  await world.clock.advance(LONG_MS);
  checkInvariants(world);
  if (!drained) world.fault("it was never drained");
  if (world.open.size > 0) world.fault(`it was drained, and ${world.open.size} calls were not over`);
  failOnFaults(world);
};

const close = async (world: World): Promise<void> => {
  let closed = false;
  void world.manager.close().then(() => (closed = true));
  // What is being made then is destroyed as soon as it is there: at once, where the engine does everything at once.
  await world.clock.settle();
  world.tidy();
  const { sandboxes } = world.pool.stats();
  if (closed && sandboxes > 0 && !world.trouble.wasSlow)
    world.fault(`${sandboxes} sandboxes outlive the close`);
  // What has arrived may still be read.
  for (const { id, phase, hasArrived } of world.open)
    if (phase === "waiting" || (phase === "running" && !hasArrived))
      world.fault(`${id} is ${phase} after the close`);
  for (const call of world.open) if (call.manner === "reads nothing") call.leave();
  await world.clock.advance(LONG_MS);
  world.tidy();
  if (!closed) world.fault("it was never closed");
  checkNothingIsLeft(world);
  failOnFaults(world);
};

const checkNothingIsLeft = (world: World): void => {
  const { sandboxes, creating, waiting, promisedMb, engine } = world.pool.stats();
  const left = {
    sandboxes,
    creating,
    waiting,
    promisedMb,
    engine: engine.sandboxes,
    timers: world.clock.timers,
    calls: world.open.size,
    learners: world.learners.size,
  };
  if (Object.values(left).some((count) => count !== 0)) world.fault(`left over: ${JSON.stringify(left)}`);
  for (const [digest, held] of world.registry.held)
    if (held !== 0) world.fault(`${digest} was never given back`);
};
