import type { LambdaConfig } from "@ol/bundle";
import { FakeBadOutput, type FakeCode } from "@ol/sandbox/testing";

/** A lambda that the HTTP cases call: the same behaviour in Python and as code of the fake engine. */
export interface CaseLambda {
  readonly python: string;
  readonly yaml?: string;
  readonly fake: FakeCode;
  readonly config?: Partial<LambdaConfig>;
}

const parse = (event: Buffer): unknown => JSON.parse(event.toString());

/** Ends when the worker gives up on it. */
const never = (): Promise<never> => new Promise(() => undefined);

const broken = (message: string): FakeCode => ({
  load: () => {
    throw new Error(message);
  },
  call: () => null,
});

const ECHO: FakeCode = {
  call: (event) => {
    parse(event);
    return event;
  },
};

/** The value of an environment variable: lambdas get it, and no reply of the worker's own shows it. */
export const ENVIRONMENT_VALUE = "an-environment-value";

/** By name. */
export const LAMBDAS: Readonly<Record<string, CaseLambda>> = {
  hello: {
    python: 'def f(event):\n    return "Hello, %s!" % event.get("name", "stranger")\n',
    fake: { call: (event) => `Hello, ${(parse(event) as { name?: string }).name ?? "stranger"}!` },
  },
  echo: { python: "def f(event):\n    return event\n", fake: ECHO },
  "dotted.name_1-x": { python: "def f(event):\n    return event\n", fake: ECHO },
  raise: {
    python: 'def f(event):\n    raise ValueError("no such luck")\n',
    fake: {
      call: () => {
        throw new RangeError(
          'Traceback (most recent call last):\n  File "/handler/f.py"\nValueError: no such luck',
        );
      },
    },
  },
  nan: {
    python: 'def f(event):\n    return float("nan")\n',
    fake: {
      call: () => {
        throw new FakeBadOutput("the result is not JSON: nan");
      },
    },
  },
  environment: {
    python: 'import os\n\ndef f(event):\n    return len(os.environ["TOKEN"])\n',
    yaml: `environment:\n  TOKEN: ${ENVIRONMENT_VALUE}\n`,
    fake: { call: () => ENVIRONMENT_VALUE.length },
    config: { environment: { TOKEN: ENVIRONMENT_VALUE } },
  },
  exit: {
    python: "import os\n\ndef f(event):\n    os._exit(3)\n",
    fake: {
      call: (_, { exit }) => {
        exit({ reason: "exit", code: 3 });
        return never();
      },
    },
  },
  killed: {
    python: "import os, signal\n\ndef f(event):\n    os.kill(os.getpid(), signal.SIGSEGV)\n    os.abort()\n",
    fake: {
      call: (_, { exit }) => {
        exit({ reason: "signal", signal: "SIGSEGV" });
        return never();
      },
    },
  },
  // Fine unless told to exit: shows that the next call gets a fresh sandbox.
  moody: {
    python: 'import os\n\ndef f(event):\n    if event == "exit":\n        os._exit(1)\n    return "fine"\n',
    fake: {
      call: (event, { exit }) => {
        if (parse(event) !== "exit") return "fine";
        exit({ reason: "exit", code: 1 });
        return never();
      },
    },
  },
  endless: {
    python: "import time\n\ndef f(event):\n    time.sleep(60)\n",
    yaml: "limits:\n  runtime_sec: 1\n",
    fake: { call: never },
    config: { limits: { runtimeSec: 1 } },
  },
  nap: {
    python: "import time\n\ndef f(event):\n    time.sleep(event)\n    return event\n",
    fake: {
      call: async (event) => {
        await new Promise((resolve) => setTimeout(resolve, Number(parse(event)) * 1000));
        return event;
      },
    },
  },
  syntax: {
    python: "def f(event):\n    return (\n",
    fake: broken("  File \"/handler/f.py\", line 2\nSyntaxError: '(' was never closed"),
  },
  import: {
    python: "import no_such_module\n\ndef f(event):\n    return 1\n",
    fake: broken("ModuleNotFoundError: No module named 'no_such_module'"),
  },
  noentry: {
    python: "x = 1\n",
    fake: broken("the code has no function f(event) or handler(event)"),
  },
  methods: {
    python: "def f(event):\n    return event\n",
    yaml: "triggers:\n  http:\n    - method: GET\n    - method: POST\n",
    fake: ECHO,
    config: { methods: ["GET", "POST"] },
  },
  small: {
    python: "def f(event):\n    return len(event)\n",
    yaml: "limits:\n  body_mb: 1\n",
    fake: { call: (event) => (parse(event) as string).length },
    config: { limits: { bodyMb: 1 } },
  },
  large: {
    python: 'def f(event):\n    return "x" * event\n',
    fake: { call: (event) => Buffer.from(`"${"x".repeat(Number(parse(event)))}"`) },
  },
  context: {
    python:
      "def f(event, context):\n    return {'id': context.invocation_id, 'trace': context.traceparent, 'headers': dict(context.headers)}\n",
    fake: {
      call: (_, { fields, invocationId }) => {
        const headers: Record<string, string> = {};
        for (let at = 0; at < fields.length; at += 2) {
          const [name = "", value = ""] = fields.slice(at);
          if (!name.startsWith(":")) headers[name.toLowerCase()] = value;
        }
        return { id: invocationId, trace: headers["traceparent"], headers };
      },
    },
  },
};

/** The files of the Python ones, by name and then by path. */
export const PYTHON_FILES: Readonly<Record<string, Readonly<Record<string, string>>>> = Object.fromEntries(
  Object.entries(LAMBDAS).map(([name, { python, yaml }]) => [
    name,
    { ...(yaml !== undefined && { "ol.yaml": yaml }), "f.py": python },
  ]),
);
