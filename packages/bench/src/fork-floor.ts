import { mkdtemp, rm } from "node:fs/promises";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { CleanupStack } from "@ol/common";

import { baselinePath } from "./baselines.ts";
import { benchError } from "./errors.ts";
import { startHelper } from "./process.ts";

/** Measures what a process that is only forked costs: create call to first reply over its socket. */
export interface ForkFloor extends AsyncDisposable {
  /** One measurement, in ms. May be called again before an earlier one has ended. */
  measure(): Promise<number>;
}

const replyTimeoutMs = 5000;

const frame = (value: unknown): Buffer => {
  const body = Buffer.from(JSON.stringify(value));
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  return Buffer.concat([head, body]);
};

/** Writes a frame and resolves to the one that comes back. */
const exchange = (socket: Socket, value: unknown, what: string): Promise<unknown> =>
  new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      socket.off("data", onData).off("error", fail).off("close", fail);
      act();
    };
    const fail = (): void =>
      settle(() => reject(benchError("OL_BENCH_HELPER_FAILED", `${what} did not answer`)));
    const onData = (chunk: Buffer): void => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      if (received.length < 4 || received.length < 4 + received.readUInt32BE(0)) return;
      settle(() => resolve(JSON.parse(received.toString("utf8", 4))));
    };
    const timer = setTimeout(fail, replyTimeoutMs);
    socket.on("data", onData).once("error", fail).once("close", fail);
    socket.write(frame(value));
  });

type Ask = (request: unknown) => Promise<unknown>;

/** The helper answers one request at a time; so each is sent when the one before was answered. */
const oneByOne = (helper: Socket): Ask => {
  let last: Promise<unknown> = Promise.resolve();
  return (request) => {
    const answer = last.then(() => exchange(helper, request, "the fork-only helper"));
    last = answer.catch(() => undefined);
    return answer;
  };
};

const measureOnce = async (ask: Ask, directory: string, id: number): Promise<number> => {
  const begunMs = performance.now();
  await ask({ v: 1, id });
  const child = connect(join(directory, String(id)));
  const reply = await exchange(child, { name: "Alice" }, "the forked child");
  const tookMs = performance.now() - begunMs;
  child.destroy();
  if (reply !== "Hello, Alice!")
    throw benchError("OL_BENCH_WRONG_REPLY", `the forked child answered ${JSON.stringify(reply)}`);
  return tookMs;
};

/** Starts the frozen helper with the same interpreter that the sandboxes use. */
export const startForkFloor = async (python: string): Promise<ForkFloor> => {
  const cleanup = new CleanupStack();
  const directory = await mkdtemp(join(tmpdir(), "ol-floor-"));
  cleanup.add(() => rm(directory, { recursive: true, force: true }));
  // Descriptor 3 is a socket pair: node's "pipe" is one.
  const helper = startHelper(python, ["-I", "-S", baselinePath("fork-floor.py"), directory], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  cleanup.add(helper.stop);
  const ask = oneByOne(helper.child.stdio[3] as Socket);
  let lastId = 0;
  return {
    measure: () => measureOnce(ask, directory, (lastId += 1)),
    [Symbol.asyncDispose]: () => cleanup.run(),
  };
};
