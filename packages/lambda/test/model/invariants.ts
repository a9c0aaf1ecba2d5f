import type { FunctionStats } from "../../src/index.ts";
import type { CallCounts } from "../../src/index.ts";
import type { Version } from "./registry.ts";
import type { World } from "./world.ts";

/**
 * Longest that a call may need: its turn, twice a resumed sandbox's memory and the code's loading and its run time, and what a
 * sandbox has to end in.
 */
const LONGEST_MS = 60_000;
/** Longer than a sandbox is withheld from the pool for what may still come. */
const HOARD_MS = 10_000;
/** After so long without a call a function is forgotten: LambdaManager's default. */
const IDLE_MS = 600_000;

/** What has to hold whenever nothing is left to be done at a moment. What does not is a fault of the world. */
export const checkInvariants = (world: World): void => {
  world.tidy();
  checkCounts(world);
  checkFunctions(world);
  checkInstances(world);
  checkHoards(world);
  checkAges(world);
  checkTimers(world);
  world.told.check(world);
  failOnFaults(world);
};

export const failOnFaults = ({ faults }: World): void => {
  if (faults.length > 0) throw new Error(faults.slice(0, 10).join("\n"));
};

const expectEqual = (world: World, what: string, is: unknown, expected: unknown): void => {
  if (is !== expected) world.fault(`${what}: ${String(is)}, and not ${String(expected)}`);
};

const checkCounts = (world: World): void => {
  const { manager, ended, sandboxes } = world;
  const { running, queued, unread, calls, functions } = manager.stats();
  const load = manager.load();
  const waiting = world.count(["waiting"]);
  expectEqual(world, "busy sandboxes", load.busy, sandboxes.busy);
  expectEqual(world, "running sandboxes", running, sandboxes.busy);
  const seemBusy = functions.reduce((sum, { instances }) => sum + (instances.busy ?? 0), 0);
  if (seemBusy > sandboxes.busy) world.fault(`${seemBusy} instances seem busy, of ${sandboxes.busy}`);
  if (load.busy > load.slots) world.fault(`${load.busy} of ${load.slots} slots are taken`);
  expectEqual(world, "waiting calls", queued, waiting);
  const reading = world.count(["unread"]);
  expectEqual(world, "unread replies", unread, reading);
  expectEqual(world, "waiting calls of the load report", load.queue, waiting);
  expectEqual(world, "accepted", calls.accepted, world.called);
  expectEqual(world, "refused", calls.refused, ended["refused"] ?? 0);
  expectEqual(world, "dropped", calls.dropped, ended["dropped"] ?? 0);
  const begun = (ended["answered"] ?? 0) + (ended["cut"] ?? 0) + (ended["gone"] ?? 0) + reading;
  expectEqual(world, "answered, cut and left", calls.answered + calls.cut + calls.left, begun);
  if (calls.answered < (ended["answered"] ?? 0)) world.fault(`only ${calls.answered} count as answered`);
  if (calls.cut < (ended["cut"] ?? 0)) world.fault(`only ${calls.cut} count as cut`);
  expectEqual(world, "accepted calls, summed up", calls.accepted, overOf(calls) + world.open.size - reading);
};

const overOf = (calls: CallCounts): number =>
  calls.answered + calls.cut + calls.left + calls.refused + calls.dropped;

const checkFunctions = (world: World): void => {
  const queued = new Map<string, number>();
  const running = new Map<string, number>();
  const listed = new Set<string>();
  for (const fn of world.manager.stats().functions) {
    queued.set(fn.name, (queued.get(fn.name) ?? 0) + fn.queued);
    running.set(fn.name, (running.get(fn.name) ?? 0) + fn.running);
    const open = fn.queued + fn.running;
    expectEqual(world, `calls of ${fn.name}, summed up`, overOf(fn.calls) + open, fn.calls.accepted);
    if (fn.code !== "gone") listed.add(fn.name);
  }
  for (const name of world.registry.names) {
    if (!listed.has(name) || isForgotten(world, name)) world.proven.delete(name);
    if (!world.manager.running) continue;
    expectEqual(world, `waiting calls of ${name}`, queued.get(name) ?? 0, world.count(["waiting"], name));
    const inSandbox = world.count(["running", "left"], name);
    expectEqual(world, `running calls of ${name}`, running.get(name) ?? 0, inSandbox);
  }
  for (const fn of world.manager.stats().functions) checkCode(world, fn);
};

/** It may have been forgotten and found again since the last look. */
const isForgotten = ({ calledMs }: World, name: string): boolean =>
  performance.now() - (calledMs.get(name) ?? 0) >= IDLE_MS;

/** Code that runs is not replaced by code that does not. */
const checkCode = (world: World, { name, code, digest, kind }: FunctionStats): void => {
  const version = digest === undefined ? undefined : world.registry.versions.get(digest);
  const runs = version !== undefined && (version.load === "quick" || version.load === "slow");
  if (code === "good" && runs && kind !== undefined) world.proven.add(name);
  else if (world.proven.has(name) && (code === "broken" || (code === "good" && !runs)))
    world.fault(`${name} could be run, and now is ${code} (${digest})`);
};

/** Of each version no more sandboxes take calls than it may have, for each time that it was deployed. */
const checkInstances = (world: World): void => {
  const live = new Map<string, number>();
  for (const { sandbox, version } of world.sandboxes.all.values())
    if (sandbox.ended === undefined) live.set(version, (live.get(version) ?? 0) + 1);
  for (const [digest, count] of live) {
    const { config, times } = world.registry.versions.get(digest) as Version;
    const most = (config.maxInstances ?? world.settings.slots) * times;
    if (count > most) world.fault(`${digest} has ${count} sandboxes, ${most} are the most`);
    if ((world.registry.held.get(digest) ?? 0) === 0) world.fault(`${digest} was given back, and is used`);
  }
  expectEqual(world, "sandboxes of the pool", world.pool.stats().sandboxes, world.sandboxes.all.size);
  const ended = [...world.manager.sandboxes.keys()].filter(
    (id) => world.sandboxes.all.get(id)?.sandbox.ended !== undefined || !world.sandboxes.all.has(id),
  );
  if (ended.length > 0) world.fault(`the manager remembers ${ended.length} sandboxes that have ended`);
};

/** What nobody needs is the pool's to take back, unless it is to be kept warm. */
const checkHoards = (world: World): void => {
  const nowMs = performance.now();
  for (const watched of world.sandboxes.all.values()) {
    const { sandbox, version, open, touchedMs } = watched;
    const { name } = sandbox.meta;
    const { minInstances = 0 } = (world.registry.versions.get(version) as Version).config;
    const free = sandbox.ended === undefined && sandbox.state !== "starting" && open.size === 0;
    const hoarded = free && !sandbox.idle && minInstances === 0 && world.count(["waiting"], name) === 0;
    watched.hoardedMs = hoarded ? (watched.hoardedMs ?? nowMs) : undefined;
    const sinceMs = Math.max(watched.hoardedMs ?? nowMs, touchedMs);
    if (nowMs - sinceMs > HOARD_MS)
      world.fault(`${sandbox.id} of ${version} is kept from the pool for nobody`);
  }
};

const checkAges = (world: World): void => {
  const nowMs = performance.now();
  for (const call of world.open)
    if (!(call.hasArrived && call.manner === "reads nothing") && nowMs - call.sinceMs > LONGEST_MS)
      world.fault(`${call.id} is ${call.phase} since ${nowMs - call.sinceMs} ms (${call.deed.do})`);
  for (const { lambda, sinceMs } of world.learners)
    if (nowMs - sinceMs > LONGEST_MS)
      world.fault(`since ${nowMs - sinceMs} ms it is asked what ${lambda} is`);
};

/** Each sandbox, call and function has a few, and nothing else. */
const checkTimers = (world: World): void => {
  const { sandboxes, creating, waiting } = world.pool.stats();
  const functions = world.manager.stats().functions.length;
  const most = 20 + 6 * (sandboxes + creating + waiting) + 4 * functions + 2 * world.open.size;
  if (world.clock.timers > most) world.fault(`${world.clock.timers} timers are set, ${most} are the most`);
};
