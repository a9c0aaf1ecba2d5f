import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type Socket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { OlError } from "@ol/common";
import { describe, expect, it, onTestFinished } from "vitest";

import { GuestConnection } from "../../src/frames/connection.ts";
import { Recorder, aCall } from "../unit/frames-kit.ts";

const RUN_GUEST = fileURLToPath(new URL("../python/run_guest.py", import.meta.url));
const PYTHON_PATH = fileURLToPath(new URL("../../python", import.meta.url));

/** A guest process without a sandbox, connected to by the worker's own code. */
interface Guest {
  readonly connection: GuestConnection;
  readonly ready: Promise<void>;
  readonly ended: Promise<OlError | undefined>;
  readonly directory: string;
}

async function startGuest(source: string): Promise<Guest> {
  const directory = await mkdtemp(join(tmpdir(), "ol-guest-"));
  // Registered first, so that it comes last.
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "f.py"), source);
  const { socket, child } = await connectToGuest(directory);
  onTestFinished(async () => {
    socket.destroy();
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
  });
  return attach(socket, directory);
}

/** The promises are made first: the connection may call its owner as soon as it exists. */
function attach(socket: Socket, directory: string): Guest {
  const settle: { ready?: () => void; ended?: (error: OlError | undefined) => void } = {};
  const ready = new Promise<void>((resolve) => (settle.ready = resolve));
  const ended = new Promise<OlError | undefined>((resolve) => (settle.ended = resolve));
  const owner = {
    ready: () => settle.ready?.(),
    ended: (error: OlError | undefined) => settle.ended?.(error),
    retiring: () => undefined,
  };
  // A busy machine may do nothing for the second that a guest has by default.
  const connection = new GuestConnection(socket, owner, { resetMs: 30_000 });
  return { connection, ready, ended, directory };
}

/** The guest listens where its parent made it listen; here it connects to us, so that nobody has to wait for it. */
async function connectToGuest(directory: string): Promise<{ socket: Socket; child: ChildProcess }> {
  const path = join(directory, "socket");
  const server = createServer().listen(path);
  await once(server, "listening");
  const environment = { ...process.env, PYTHONPATH: PYTHON_PATH, PYTHONDONTWRITEBYTECODE: "1" };
  const child = spawn("python3", [RUN_GUEST, "--connect", path, directory], {
    env: environment,
    stdio: "ignore",
  });
  const ended = once(child, "exit").then(([code]) => {
    throw new Error(`the guest ended before it connected, with exit code ${code}`);
  });
  const connected = once(server, "connection") as Promise<[Socket]>;
  const [socket] = await Promise.race([connected, ended]);
  // Later it may end.
  ended.catch(() => undefined);
  server.close();
  return { socket, child };
}

async function call(guest: Guest, body: string, timeoutMs?: number): Promise<Recorder> {
  const sink = new Recorder();
  guest.connection.open(aCall(body, timeoutMs), sink);
  await sink.done;
  return sink;
}

describe("the guest runtime and the worker's end of frames", () => {
  it("answer calls, those sent before the code is loaded too", async () => {
    const guest = await startGuest("def f(event): return event * 2");
    const replies = await Promise.all(["1", '"a"', "[3]"].map((body) => call(guest, body)));
    expect(replies.map((reply) => reply.body.toString())).toEqual(["2", '"aa"', "[3,3]"]);
    expect(guest.connection.hello).toMatchObject({ streams: 16 });
  });

  it("carry bodies of several windows both ways", async () => {
    const guest = await startGuest("def f(event): return event");
    const body = JSON.stringify("é".repeat(2_500_000));
    const [large, small] = await Promise.all([call(guest, body), call(guest, "1")]);
    expect(large.body.equals(Buffer.from(body))).toBe(true);
    expect(small.body.toString()).toBe("1");
  });

  it("tell bad input, exceptions and bad output apart", async () => {
    const guest = await startGuest("def f(event): return 1 / event if event < 2 else {event}");
    const failures = [];
    for (const body of ["{", "0", "2", "1"]) failures.push((await call(guest, body)).failure);
    expect(failures).toEqual(["bad-input", "exception", "bad-output", undefined]);
  });

  it("end a call at its deadline while its function's finally blocks run", async () => {
    // A body that does something: Python 3.11 skips the finally block around a bare `while True: pass`.
    const wait = "while True: time.sleep(0.001)";
    const guest = await startGuest(
      `import time\ndef f(event):\n  try:\n    ${wait}\n  finally: open('finally', 'w').write('ran')\n`,
    );
    await guest.ready;
    const reply = await call(guest, "1", 100);
    expect(reply.error?.code).toBe("OL_SANDBOX_TIMEOUT");
    await guest.ended;
    expect(await readFile(join(guest.directory, "finally"), "utf8")).toBe("ran");
  });

  it("report code that cannot be loaded to every call", async () => {
    const guest = await startGuest("import no_such_module");
    const replies = await Promise.all([call(guest, "1"), call(guest, "2")]);
    expect(replies.map((reply) => reply.error?.code)).toEqual(Array(2).fill("OL_SANDBOX_IMPORT_FAILED"));
    expect(replies[0]?.error?.message).toMatch(/line 1, in <module>[^]*No module named 'no_such_module'\n$/);
  });

  it("answer pings in the middle of a call", async () => {
    const guest = await startGuest("def f(event):\n  while True: pass\n");
    await guest.ready;
    guest.connection.open(aCall("1", 30_000), new Recorder());
    expect(await guest.connection.ping(20_000)).toBeGreaterThan(0);
  });
});
