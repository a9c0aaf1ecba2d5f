import type { CodeKind } from "@ol/sandbox";
import type { FakeApp, FakeCode, FakeContext, FakeFunction } from "@ol/sandbox/testing";

/** What a call asks its lambda to do. */
export type Deed =
  | { readonly do: "answer" | "raise" | "exit" | "grow" | "large" | "ahead" | "break" }
  /** Needs so many ms; deaf: and reads nothing from the worker until it has answered. */
  | { readonly do: "work" | "deaf"; readonly ms: number }
  /** Never ends: until it is told to, or not even then. */
  | { readonly do: "hang" | "ignore" };

/** How loading the code goes. */
export type Load = "quick" | "slow" | "raises" | "exits";

/** The event, or the body of a request. */
export interface Order {
  readonly id: string;
  readonly deed: Deed;
}

/** What a call is answered. */
export interface Answer {
  readonly id: string;
  readonly version: string;
}

/** Where an environment names the version of the code. */
export const VERSION = "VERSION";
const SLOW_LOAD_MS = 700;
const EXIT_AFTER_MS = 1;
/** large: more than one frame, and than a stream's first credit · ahead: all of it comes before any of it is read. */
const SIZES: Readonly<Record<string, number>> = { large: 400_000, ahead: 250_000 };

export const KINDS: readonly CodeKind[] = ["function", "wsgi", "asgi"];
export const LOADS: readonly Load[] = ["quick", "slow", "raises", "exits"];

/** Is told of each call that begins to run. */
export type OnRun = (invocationId: string, version: string) => void;

/** Where the engine finds such code. */
export const codeDir = (kind: CodeKind, load: Load): string => `${kind}-${load}`;

/** Every kind of code that a world has, by its directory. */
export const makeLambdas = (onRun: OnRun): Readonly<Record<string, FakeCode>> => {
  const run = runner(onRun);
  const app = apper(onRun);
  const codes: Record<string, FakeCode> = {};
  for (const load of LOADS)
    for (const kind of KINDS) {
      const loading = { load: LOADING[load] };
      codes[codeDir(kind, load)] =
        kind === "function" ? { ...loading, call: run } : { ...loading, kind, app };
    }
  return codes;
};

const LOADING: Readonly<Record<Load, (context: Pick<FakeContext, "exit">) => unknown>> = {
  quick: () => undefined,
  slow: () => wait(SLOW_LOAD_MS),
  raises: () => {
    throw new Error("ModuleNotFoundError: No module named 'nowhere'");
  },
  exits: async ({ exit }) => {
    await wait(EXIT_AFTER_MS);
    exit({ reason: "exit", code: 1 });
    return never();
  },
};

const runner =
  (onRun: OnRun): FakeFunction =>
  async (event, context) => {
    const order = JSON.parse(event.toString()) as Order;
    await perform(order, context, onRun);
    return sized(order, context);
  };

const apper =
  (onRun: OnRun): FakeApp =>
  async ({ body }, reply, context) => {
    const parts: Buffer[] = [];
    for await (const part of body) parts.push(part);
    const order = JSON.parse(Buffer.concat(parts).toString()) as Order;
    await perform(order, context, onRun);
    reply.start(200);
    if (order.deed.do === "break") await reply.write(Buffer.from("{"));
    if (order.deed.do === "break") throw new RangeError("asked to break off");
    await reply.end(sized(order, context));
  };

const perform = ({ id, deed }: Order, context: FakeContext, onRun: OnRun): unknown => {
  onRun(id, context.environment[VERSION] ?? "");
  switch (deed.do) {
    case "raise":
      throw new RangeError("asked to raise");
    case "exit":
      context.exit({ reason: "exit", code: 3 });
      return never();
    case "grow":
      context.exit({ reason: "out-of-memory" });
      return never();
    case "work":
      return wait(deed.ms);
    case "deaf":
      return deafFor(deed.ms, context);
    case "hang":
      return told(context.signal);
    case "ignore":
      return never();
  }
  return undefined;
};

const deafFor = async (ms: number, { connection }: FakeContext): Promise<void> => {
  connection.pause();
  await wait(ms);
  setTimeout(() => connection.resume(), 1);
};

const answer = ({ id }: Order, { environment }: FakeContext): Buffer =>
  Buffer.from(JSON.stringify({ id, version: environment[VERSION] ?? "" } satisfies Answer));

const sized = (order: Order, context: FakeContext): Buffer => {
  const text = answer(order, context);
  const bytes = SIZES[order.deed.do] ?? text.length;
  return Buffer.concat([text, Buffer.alloc(bytes - text.length, " ")]);
};

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const never = (): Promise<never> => new Promise(() => undefined);

/** Fails once the call is reset. */
const told = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("told to end")));
  });
