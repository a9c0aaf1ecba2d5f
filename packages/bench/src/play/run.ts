import { describeLoad, describeMachine } from "../machine.ts";
import { realPython } from "../python.ts";
import type { Results } from "../results.ts";
import type { Progress } from "../command.ts";
import { type PlanOptions, planCalls } from "./plan.ts";
import { play, type PlayLoop } from "./player.ts";
import type { Second } from "./tally.ts";
import { type OwnWorkerOptions, ownWorker, type PlayTarget, urlTarget } from "./target.ts";
import type { Trace } from "./trace.ts";

/** Where calls go: somebody's URL, or a worker that is started for it. */
export type PlayWhere =
  | { readonly kind: "url"; readonly url: string; readonly body: string }
  | ({ readonly kind: "worker" } & Omit<OwnWorkerOptions, "functions" | "python">);

export interface PlayOptions extends PlanOptions {
  readonly trace: Trace;
  readonly loop: PlayLoop;
  readonly where: PlayWhere;
  readonly progress: Progress;
}

export interface PlayResults extends Results {
  /** Of the times from when calls were due: so many nines, and the ms that so large a share is not above. */
  readonly curve: readonly (readonly [nines: number, ms: number])[];
  readonly seconds: readonly Second[];
}

const targetFor = async (
  where: PlayWhere,
  functions: readonly string[],
  python: string,
): Promise<PlayTarget> =>
  where.kind === "url"
    ? urlTarget(where.url, functions, where.body)
    : ownWorker({ ...where, functions: functions.length, python });

const labelOf = (loop: PlayLoop): string =>
  loop.kind === "open" ? "open loop" : `${loop.clients} client${loop.clients === 1 ? "" : "s"}`;

/** Plays a trace: the same calls for the same seed, at the times that it has or as quickly as they are answered. */
export const runPlay = async (options: PlayOptions): Promise<PlayResults> => {
  const { trace, loop, where, progress } = options;
  const notes = describeLoad();
  const plan = planCalls(trace, options);
  const python = await realPython();
  await using target = await targetFor(where, plan.functions, python);
  const last = plan.calls.at(-1)?.dueMs ?? 0;
  const length = loop.kind === "open" ? `, in ${(last / 1_000).toFixed(0)} s` : "";
  progress(`${plan.calls.length} calls of ${plan.functions.length} functions${length}`);
  const { tally, tookMs } = await play(plan, target, loop);
  if (plan.cut > 0) notes.push(`${plan.cut} calls would have run for longer than ${options.mostRunMs} ms`);
  if (tally.failed > 0) notes.push(`${tally.failed} calls failed: no time of theirs is in the figures`);
  if (tally.unsent > 0)
    notes.push(
      `${tally.unsent} calls were not sent, since too many were on their way: nothing is known of them`,
    );
  if (loop.kind === "closed")
    notes.push(
      "clients that wait do not call: a server that stalls is seen by no more calls than there are clients",
    );
  const label = labelOf(loop);
  const labels = { loop: loop.kind, functions: plan.functions.length };
  return {
    machine: describeMachine(python),
    rows: tally.rows(label, tookMs, labels),
    aims: [],
    notes,
    curve: tally.curve(),
    seconds: tally.seconds(),
  };
};
