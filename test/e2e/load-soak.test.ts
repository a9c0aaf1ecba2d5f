import { expect, it } from "vitest";

import { Random } from "../../packages/sandbox/test/support/random.ts";
import { scaled } from "../../packages/sandbox/test/support/scale.ts";
import { firstAndLast, watchFootprint } from "./support/footprint.ts";
import { type Answer, clientsFor, LoadRig, named, quantile, report, statusesOf } from "./support/load.ts";

/** scripts/soaks/lambdas.sh; a number of seconds makes it shorter. */
const RUN_MS = scaled(6_000, Number(process.env["OL_TEST_LAMBDAS_SEC"] ?? "600") * 1_000);
/** What is compared: the first minute with the last. */
const WINDOW_MS = Math.min(60_000, RUN_MS / 3);
const FUNCTIONS = 50;
const SANDBOX_MB = 50;
const CLIENTS = 16;
/** Of each kind. */
const FAILURES = 0.05;
const SHORTEST_SEC = 0.000_1;
const LONGEST_SEC = 2;
/** Memory that a worker's parts may gain: in short runs what it loads and compiles, in long ones what is not collected yet. */
const MORE_MB = scaled(80, 40);
/** Each sandbox has a socket, and there may be more of them at one moment than at another. */
const MORE_DESCRIPTORS = 2 * Math.ceil(FUNCTIONS / 3);

const CODE = `import time
def f(event, context):
    note(context)
    how = event["how"]
    if how == "raise":
        raise ValueError("as asked")
    if how == "set":
        return {1}
    if how == "exit":
        os._exit(3)
    if how == "crash":
        os.abort()
    if how == "memory":
        hoard = []
        while True:
            hoard.append(bytearray(1 << 20))
    if how == "endless":
        while True:
            time.sleep(1)
    time.sleep(float(os.environ["SECONDS"]))
    return event["number"]
`;

interface Event {
  readonly how: string;
  readonly number: number;
}

/** The replies that each kind may get. */
const EXPECTED: Readonly<Record<string, (answer: Answer, event: Event) => boolean>> = {
  "": ({ status, text }, { number }) => status === 200 && text === String(number),
  raise: ({ status, text }) => status === 500 && text.includes("ValueError: as asked"),
  set: ({ status, text }) => status === 500 && text.includes("not JSON"),
  exit: ({ status }) => status === 502,
  crash: ({ status }) => status === 502,
  // Where control groups do not limit memory, Python notices by itself.
  memory: ({ status, text }) => status === 502 || (status === 500 && text.includes("MemoryError")),
  endless: ({ status }) => status === 504,
};
const KINDS = Object.keys(EXPECTED).filter((kind) => kind !== "");

const isExpected = (answer: Answer): boolean => {
  const event = answer.event as Event;
  return EXPECTED[event.how]?.(answer, event) ?? false;
};

const random = Random.fromEnvironment();
console.info(`OL_TEST_SEED=${random.seed}`);

const someKind = (): string => {
  const at = Math.floor(random.next() / FAILURES);
  return KINDS[at] ?? "";
};

/** Fifty functions from 0.1 ms to 2 s, evenly by their order of magnitude. */
const addFunctions = (rig: LoadRig): void => {
  for (let at = 0; at < FUNCTIONS; at += 1) {
    const seconds = SHORTEST_SEC * (LONGEST_SEC / SHORTEST_SEC) ** (at / (FUNCTIONS - 1));
    rig.add(`f-${at}`, CODE, `  SECONDS: ${seconds.toFixed(5)}\nlimits:\n  runtime_sec: 4\n`);
  }
};

it(
  "fifty functions that fail in every way, with memory for a third, lose no call, and the worker does not grow",
  async () => {
    const rig = await LoadRig.start({
      mem_pool_mb: Math.ceil((FUNCTIONS * SANDBOX_MB) / 3),
      worker_slots: CLIENTS,
      queue_timeout_ms: 30_000,
    });
    addFunctions(rig);
    // From here on it has a zygote, by which its broker is known.
    const before = await rig.call("f-0", { how: "", number: 0 });
    const stop = new AbortController();
    const watched = watchFootprint(rig.worker, stop.signal);
    let number = 0;
    const during = await clientsFor(CLIENTS, RUN_MS, () => {
      number += 1;
      return rig.call(`f-${Math.floor(random.between(0, FUNCTIONS))}`, { how: someKind(), number });
    });
    stop.abort();
    const looks = await watched;
    const { calls, pool } = await rig.settled();
    const answers = [before, ...during];
    const good = answers.filter(({ status }) => status === 200).map(({ ms }) => ms);
    const { first, last } = firstAndLast(looks, WINDOW_MS);
    report("soak", {
      calls: answers.length,
      callsPerSec: answers.length / (RUN_MS / 1000),
      p50Ms: quantile(good, 0.5),
      p99Ms: quantile(good, 0.99),
      statuses: statusesOf(answers),
      coldShare: calls.cold / calls.answered,
      created: pool.created,
      evicted: pool.evicted,
    });
    report("soak, first window", { ...first });
    report("soak, last window", { ...last });
    expect(named(answers.filter((answer) => !isExpected(answer)))).toEqual([]);
    expect(rig.miscounted(answers)).toEqual([]);
    expect(calls.accepted).toBe(answers.length);
    expect(last.rssMb - first.rssMb).toBeLessThan(MORE_MB);
    expect(last.heapMb - first.heapMb).toBeLessThan(MORE_MB / 2);
    expect(last.brokerRssMb - first.brokerRssMb).toBeLessThan(MORE_MB / 2);
    expect(last.descriptors - first.descriptors).toBeLessThan(MORE_DESCRIPTORS);
    expect(last.brokerDescriptors - first.brokerDescriptors).toBeLessThan(10 * MORE_DESCRIPTORS);
  },
  RUN_MS + 180_000,
);
