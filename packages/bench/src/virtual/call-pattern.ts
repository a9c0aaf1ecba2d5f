import { burstsOfCalls, type CallSource, callsInTurn, drawnCalls } from "../cluster/call-source.ts";
import { type Caller, type CallRun, type CallTimes, playClosed, playOpen } from "../cluster/players.ts";

/**
 * Which lambdas are called. `popularity`: the n-th n^-skew as often as the first. `bursts`: the same, so many at once. `turns`: each in turn,
 * so many times before the next.
 */
export type Draw =
  | { readonly by: "popularity"; readonly skew: number }
  | { readonly by: "bursts"; readonly skew: number; readonly size: number }
  | { readonly by: "turns"; readonly times: number };

/** Who calls. `closed`: so many clients, each calls again when it is answered. `open`: so many calls a second come, whatever happens. */
export type CallPattern = { readonly draw: Draw } & (
  | { readonly kind: "closed"; readonly clients: number }
  | { readonly kind: "open"; readonly perSec: number }
);

/** The same calls for the same seed. */
export const sourceOf = (draw: Draw, lambdas: number, seed: number): CallSource => {
  if (draw.by === "turns") return callsInTurn(lambdas, draw.times);
  if (draw.by === "bursts") return burstsOfCalls(lambdas, draw.skew, seed, draw.size);
  return drawnCalls(lambdas, draw.skew, seed);
};

/** Plays a pattern to whoever takes calls, on the thread's clock. */
export const playPattern = (
  pattern: CallPattern,
  call: Caller,
  source: CallSource,
  times: CallTimes,
): Promise<CallRun> =>
  pattern.kind === "closed"
    ? playClosed(call, source, pattern.clients, times)
    : playOpen(call, source, pattern.perSec, times);

/** By what a call belongs to the measured time; see figuresOf. */
export const countedBy = ({ kind }: CallPattern): "end" | "due" => (kind === "closed" ? "end" : "due");
