import { FAKE_APP } from "./fake-app.ts";
import { FakeBadOutput, type FakeCode } from "./fake-guest.ts";

const parse = (event: Buffer): unknown => JSON.parse(event.toString("utf8"));

const sleep = (seconds: number, signal: AbortSignal): Promise<string> =>
  new Promise((resolve) => {
    const timer = setTimeout(() => resolve("slept"), seconds * 1000);
    const stop = (): void => {
      clearTimeout(timer);
      resolve("stopped");
    };
    signal.addEventListener("abort", stop);
  });

const unloadable = (text: string): FakeCode => ({
  load: () => {
    throw new Error(text);
  },
  call: () => undefined,
});

/** The conformance handlers in JavaScript; their Python twins are in conformance/handlers. */
export const FAKE_HANDLERS: Readonly<Record<string, FakeCode>> = {
  echo: {
    call: (event) => {
      parse(event);
      return event;
    },
  },
  count: {
    call: (event, { state }) => {
      state["calls"] = Number(state["calls"] ?? 0) + 1;
      if (parse(event) === "raise") throw new TypeError("asked to raise");
      return state["calls"];
    },
  },
  exit: {
    call: (event, { exit }) => {
      exit({ reason: "exit", code: Number(parse(event)) });
      return new Promise(() => undefined);
    },
  },
  sleep: { call: (event, { signal }) => sleep(Number(parse(event)), signal) },
  stubborn: { call: () => new Promise(() => undefined) },
  environment: { call: (event, { environment }) => environment[String(parse(event))] ?? null },
  make: { call: (event) => Buffer.from(`"${"x".repeat(Number(parse(event)))}"`) },
  length: { call: (event) => String(parse(event)).length },
  importer: {
    call: () => true,
    imports: ({ packages: [directory = ""] = [], zygote }) => {
      const modules = [...(zygote === undefined ? ["ol_conformance"] : []), "ol_conformance.more"];
      return { packages: [{ directory, ms: 1, kb: 100, modules }] };
    },
  },
  "not-json": {
    call: () => {
      throw new FakeBadOutput("the result is not JSON-able");
    },
  },
  wsgi: { kind: "wsgi", app: FAKE_APP },
  asgi: { kind: "asgi", app: FAKE_APP },
  "import-error": unloadable("ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
  "syntax-error": unloadable("f.py, line 3: SyntaxError: invalid syntax"),
};
