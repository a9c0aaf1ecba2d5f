import type { FakeCode } from "./fake-guest.ts";

const parse = (event: Buffer): unknown => JSON.parse(event.toString("utf8"));

/** The conformance handlers in JavaScript; their Python twins are in conformance/handlers. */
export const FAKE_HANDLERS: Readonly<Record<string, FakeCode>> = {
  echo: { call: (event) => event },
  raise: {
    call: (event) => {
      if (parse(event) === "raise") throw new TypeError("asked to raise");
      return "did not raise";
    },
  },
  exit: {
    call: (event, { exit }) => {
      exit({ reason: "exit", code: Number(parse(event)) });
      return new Promise(() => undefined);
    },
  },
  sleep: {
    call: (event, { signal }) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => resolve("slept"), Number(parse(event)) * 1000);
        const stop = (): void => {
          clearTimeout(timer);
          resolve("stopped");
        };
        signal.addEventListener("abort", stop);
      }),
  },
  environment: { call: (event, { environment }) => environment[String(parse(event))] ?? null },
  size: { call: (event) => event.length },
  make: { call: (event) => Buffer.from(`"${"x".repeat(Number(parse(event)))}"`) },
  "import-error": {
    load: () => {
      throw new Error("ModuleNotFoundError: No module named 'no_such_module_anywhere'");
    },
    call: () => undefined,
  },
  "syntax-error": {
    load: () => {
      throw new Error("f.py, line 2: SyntaxError: invalid syntax");
    },
    call: () => undefined,
  },
};
