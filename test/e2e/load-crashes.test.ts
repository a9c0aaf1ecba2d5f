import { describe, expect, it } from "vitest";

import { Random } from "../../packages/sandbox/test/support/random.ts";
import { type Answer, clientsFor, LoadRig, named, quantile, report, statusesOf } from "./support/load.ts";

const CODE = `def f(event, context):
    note(context)
    how = event["how"]
    if how == "exit":
        os._exit(3)
    if how == "crash":
        # The first process of a namespace cannot kill itself by a signal; this is an instruction that it dies of.
        os.abort()
    if how == "memory":
        hoard = []
        while True:
            hoard.append(bytearray(1 << 20))
    return event["number"]
`;
const CLIENTS = 16;
const RUN_MS = 2_000;
const SHARE = 0.02;

const random = Random.fromEnvironment();
console.info(`OL_TEST_SEED=${random.seed}`);

const endsItself = ({ event }: Answer): boolean => (event as { how: string }).how !== "";

/** Where control groups do not limit memory, Python notices by itself. */
const isMemoryError = ({ status, text }: Answer): boolean => status === 500 && text.includes("MemoryError");

/** The reply to that very call. */
const isOwn = ({ event, status, text }: Answer): boolean =>
  status === 200 && text === String((event as { number: number }).number);

describe.each(["exit", "crash", "memory"])(
  "a quick function that ends itself by %s in two calls of a hundred",
  (how) => {
    it("fails those calls only, loses none and runs none twice", async () => {
      const rig = await LoadRig.start();
      rig.add("moody", CODE);
      let number = 0;
      const answers = await clientsFor(CLIENTS, RUN_MS, () => {
        number += 1;
        return rig.call("moody", { number, how: number === CLIENTS || random.next() < SHARE ? how : "" });
      });
      const { pool } = await rig.settled();
      const ended = answers.filter(endsItself);
      const others = answers.filter((answer) => !endsItself(answer));
      report(`crashes by ${how}`, {
        calls: answers.length,
        ended: statusesOf(ended),
        created: pool.created,
        p99Ms: quantile(
          others.map(({ ms }) => ms),
          0.99,
        ),
      });
      expect(named(ended.filter((answer) => answer.status !== 502 && !isMemoryError(answer)))).toEqual([]);
      expect(named(others.filter((answer) => !isOwn(answer)))).toEqual([]);
      expect(rig.miscounted(answers)).toEqual([]);
      expect(ended.length).toBeGreaterThan(0);
    });
  },
);
