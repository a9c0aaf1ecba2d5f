import type { ModelCall } from "./model-call.ts";
import type { World } from "./world.ts";

/** What a queue has room for. */
export interface QueueRoom {
  /** More calls of this function, by its own limit. */
  readonly own: number;
  /** More calls of this function, by what all functions share. */
  readonly shared: number;
}

/** What there is room for before a call of a lambda comes. */
export const queueRoom = (world: World, lambda: string): QueueRoom => {
  const { maxQueued, maxQueuedPerFunction } = world.settings;
  const fn = world.manager.stats().functions.find(({ name, code }) => name === lambda && code !== "gone");
  const version = fn?.code === "good" ? world.registry.versions.get(fn.digest ?? "") : undefined;
  const own = world.count(["waiting"], lambda);
  const all = world.count(["waiting"]);
  return { own: (version?.config.queue ?? maxQueuedPerFunction) - own, shared: maxQueued - all - own };
};

/** A call is refused if there was no room for it; only where it is the first in line it may wait beyond its function's limit. */
export const checkAdmission = (world: World, call: ModelCall, { own, shared }: QueueRoom): void => {
  const { id, lambda, phase, code } = call;
  const first = world.count(["waiting"], lambda) === 1;
  if (phase === "waiting" && ((own <= 0 && !first) || shared <= 0))
    world.fault(`${id} waits where there was room for ${own} of ${lambda}, and for ${shared}`);
  if (code === "OL_LAMBDA_QUEUE_FULL" && own > 0) world.fault(`${id} was refused with room for ${own} more`);
  if (code === "OL_LAMBDA_WORKER_FULL" && shared > 0)
    world.fault(`${id} was refused with room for ${shared}`);
};
