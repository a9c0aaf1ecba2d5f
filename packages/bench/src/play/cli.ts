import { type NamedCommand, namedCommand } from "../command.ts";
import { benchError } from "../errors.ts";
import { numberOf, type OptionValues, wordOf } from "../options.ts";
import { plotCurves } from "../plot/curves.ts";
import { formatTable } from "../table.ts";
import { readTrace, TRACE_FORMATS } from "./formats.ts";
import type { PlanOptions } from "./plan.ts";
import type { PlayLoop } from "./player.ts";
import type { Trace } from "./trace.ts";
import { SyntheticTrace } from "./synthetic.ts";
import { type PlayOptions, type PlayResults, type PlayWhere, runPlay } from "./run.ts";

const STRING = { type: "string" } as const;

const OPTIONS = {
  trace: STRING,
  synthetic: STRING,
  skew: STRING,
  format: { ...STRING, default: "auto" },
  durations: STRING,
  loop: { ...STRING, default: "open" },
  clients: { ...STRING, default: "8" },
  "in-flight": { ...STRING, default: "5000" },
  rate: STRING,
  functions: STRING,
  from: { ...STRING, default: "0" },
  minutes: STRING,
  scale: { ...STRING, default: "1" },
  speed: { ...STRING, default: "1" },
  "run-ms": { ...STRING, default: "10" },
  "most-run-ms": { ...STRING, default: "10000" },
  seed: { ...STRING, default: "1" },
  url: STRING,
  body: STRING,
  busy: STRING,
  memory: STRING,
  settings: STRING,
} as const;

const help = `  --trace=FILE       what is played
  --synthetic=N      instead: calls of N functions that are drawn by the seed; --rate and --minutes say how many
  --skew=X           of those: the n-th is called n^-X as often as the first; default 1
  --format=FORM      ${TRACE_FORMATS.join(", ")}; default auto, which looks at the first line
  --durations=FILE   for azure2019: the file of durations of the same day
  --loop=KIND        open: each call when it is due. closed: clients that wait for their reply; default open
  --clients=N        of the closed loop; default 8
  --in-flight=N      of the open loop: so many calls are on their way at most; default 5000
  --rate=X           of the open loop: calls a second at random moments, whatever times the trace has
  --functions=N      so many functions by chance, with all their calls; default: all
  --from=X           minutes of the trace's time that are left out at first; default 0
  --minutes=X        of the trace's time that are played; default: all that follow
  --scale=X          so many calls for each of the trace; default 1
  --speed=X          the trace's time passes so many times as fast; default 1
  --run-ms=X         what a call takes of which the trace does not say it; default 10
  --most-run-ms=X    longer calls are cut to this; default 10000
  --seed=N           of all that is drawn; default 1
  --url=URL          where lambdas have the trace's names, such as http://127.0.0.1:8080/run; default: a worker of its own
  --body=JSON        what is sent there; default {}
  --busy=X           of its own worker: the share of its time that a call uses the CPU; default 0
  --memory=N         of its own worker, in MB; default 2048
  --settings=JSON    keys of its own worker's configuration, such as {"worker_slots": 8}`;

type Flags = OptionValues<typeof OPTIONS>;

const usageError = (message: string): Error => benchError("OL_BENCH_USAGE", message);

const ONE_MINUTE_MS = 60_000;
const MEMORY_MB = 2_048;
/** A trace of ten years. */
const MOST_MINUTES = 5_256_000;

const some = (name: string, text: string, least: number, most = 1_000_000): number =>
  numberOf(name, text, { least, most, fraction: true });

const parseJson = (name: string, text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    throw usageError(`--${name} is no JSON: ${text}`);
  }
};

const settingsOf = (text: string): Readonly<Record<string, unknown>> => {
  const value = parseJson("settings", text);
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Readonly<Record<string, unknown>>;
  throw usageError("--settings must be a JSON object");
};

/** What is for the one place must not be given for the other: it would have no effect. */
const refuse = (flags: Flags, names: readonly (keyof Flags)[], where: string): void => {
  const given = names.find((name) => flags[name] !== undefined);
  if (given !== undefined) throw usageError(`--${given} is only for ${where}`);
};

const whereOf = (flags: Flags): PlayWhere => {
  const { url, body = "{}", busy = "0", memory = String(MEMORY_MB), settings = "{}" } = flags;
  if (url === undefined) {
    refuse(flags, ["body"], "a --url");
    return {
      kind: "worker",
      memoryMb: numberOf("memory", memory, { least: 64 }),
      settings: settingsOf(settings),
      busy: some("busy", busy, 0, 1),
    };
  }
  refuse(flags, ["busy", "memory", "settings"], "a worker of its own, without --url");
  parseJson("body", body);
  return { kind: "url", url, body };
};

const loopOf = (flags: Flags): PlayLoop =>
  wordOf("loop", flags.loop, ["open", "closed"]) === "open"
    ? { kind: "open", mostInFlight: numberOf("in-flight", flags["in-flight"], { least: 1 }) }
    : { kind: "closed", clients: numberOf("clients", flags.clients, { least: 1, most: 10_000 }) };

const seedOf = ({ seed }: { readonly seed: string }): number =>
  numberOf("seed", seed, { least: 0, most: 2 ** 32 - 1 });

const planOptionsOf = (flags: Flags): PlanOptions => {
  const { functions, minutes, rate } = flags;
  return {
    seed: seedOf(flags),
    functions: functions === undefined ? undefined : numberOf("functions", functions, { least: 1 }),
    fromMs: some("from", flags.from, 0, MOST_MINUTES) * ONE_MINUTE_MS,
    lengthMs:
      minutes === undefined
        ? Number.POSITIVE_INFINITY
        : some("minutes", minutes, 0.001, MOST_MINUTES) * ONE_MINUTE_MS,
    scale: some("scale", flags.scale, 1e-9),
    speed: some("speed", flags.speed, 1e-3),
    rate: rate === undefined ? undefined : some("rate", rate, 0.001),
    runMs: some("run-ms", flags["run-ms"], 0),
    mostRunMs: some("most-run-ms", flags["most-run-ms"], 0),
  };
};

/** The rate is in its times: it must not be drawn once more. */
const syntheticOf = (flags: Flags, functions: string, { fromMs, lengthMs }: PlanOptions): Trace => {
  refuse(flags, ["trace", "durations"], "a trace that was recorded, without --synthetic");
  const { skew = "1", minutes, rate } = flags;
  if (minutes === undefined || rate === undefined)
    throw usageError("--synthetic also needs --minutes, and --rate: calls a second");
  return new SyntheticTrace({
    functions: numberOf("synthetic", functions, { least: 1, most: 100_000 }),
    skew: some("skew", skew, 0, 10),
    rate: some("rate", rate, 0.001),
    lengthMs: fromMs + lengthMs,
  });
};

const optionsOf = async (flags: Flags): Promise<Omit<PlayOptions, "progress">> => {
  const [plan, where, loop] = [planOptionsOf(flags), whereOf(flags), loopOf(flags)];
  if (flags.synthetic !== undefined)
    return { ...plan, rate: undefined, trace: syntheticOf(flags, flags.synthetic, plan), where, loop };
  if (flags.trace === undefined)
    throw usageError("--trace=FILE is needed, which is to be played, or --synthetic=N");
  refuse(flags, ["skew"], "--synthetic");
  const trace = await readTrace(flags.trace, wordOf("format", flags.format, TRACE_FORMATS), flags.durations);
  if (loop.kind === "open" && !trace.timed && plan.rate === undefined)
    throw usageError("this trace has no times: say how many calls a second (--rate), or use --loop=closed");
  return { ...plan, trace, where, loop };
};

/** The play as curves: by quantile, and second by second. */
export const plotPlay = ({ curve, seconds }: PlayResults): string =>
  plotCurves("a call's time from when it was due", [
    {
      title: "so large a share is not above",
      unit: "ms",
      curves: [{ label: "all calls", points: curve }],
      ticks: [
        { x: 0, label: "0" },
        { x: 1, label: "90 %" },
        { x: 2, label: "99 %" },
        { x: 3, label: "99.9 %" },
      ],
    },
    {
      title: "by the second in which it was due",
      unit: "ms",
      curves: [
        { label: "longest", points: seconds.map(({ second, maxMs }) => [second, maxMs] as const) },
        { label: "mean", points: seconds.map(({ second, meanMs }) => [second, meanMs] as const) },
      ],
      ticks: [
        { x: 0, label: "0 s" },
        { x: seconds.length, label: `${seconds.length} s` },
      ],
    },
    {
      title: "calls that were due",
      unit: "calls a second",
      curves: [{ label: "calls", points: seconds.map(({ second, calls }) => [second, calls] as const) }],
      ticks: [
        { x: 0, label: "0 s" },
        { x: seconds.length, label: `${seconds.length} s` },
      ],
    },
  ]);

/** `ol-bench play`. */
export const PLAY: NamedCommand = namedCommand("play", {
  about: "plays a trace to a worker or a cluster, in an open or a closed loop",
  options: OPTIONS,
  help,
  more: "docs/bench.md says what the forms of traces are. A call's time counts from when it was due, not from when it could be sent.",
  run: async (flags, progress) => runPlay({ ...(await optionsOf(flags)), progress }),
  format: formatTable,
  plot: plotPlay,
  seedOf,
});
