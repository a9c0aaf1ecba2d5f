import { readdirSync } from "node:fs";
import { cp, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { eventually } from "../../packages/sandbox/test/support/cluster.ts";
import { descendantsOf, leavesRunning, treesOf } from "../../packages/sandbox/test/support/leftovers.ts";
import { TRAFFIC, mutate, pieces } from "../../packages/sandbox/test/support/mutate.ts";
import { Random } from "../../packages/sandbox/test/support/random.ts";
import { reply } from "../../packages/sandbox/test/unit/frames-kit.ts";
import { scaled } from "../../packages/sandbox/test/support/scale.ts";
import { type Client, type TestReply, agentClient } from "../../packages/worker/test/http/clients.ts";
import { startWorkerProcess, type WorkerProcess } from "../../packages/worker/test/http/worker-process.ts";
import { HOSTILE_CASES, type HostileCase, type Step, write } from "./support/hostile-cases.ts";
import { WITNESS, Witness } from "./support/witness.ts";

const HOSTILE = fileURLToPath(new URL("support/hostile", import.meta.url));
const random = Random.fromEnvironment();

/** Of what a worker grows by while it is attacked most is garbage that Node has not collected yet. */
const MAX_GROWTH_KB = 150_000;
/** What one call of an innocent lambda may take on a machine of two CPUs on which five hostile ones do what they can. */
const MAX_WAIT_MS = 5_000;

let worker: WorkerProcess;
let broker: number;
let client: Client;
let witnesses: Witness[];
let before: { readonly peakKb: number; readonly descriptors: number };

/** A field of /proc/PID/status in kB. */
const memoryOf = async (field: string): Promise<number> => {
  const status = await readFile(`/proc/${worker.pid}/status`, "utf8");
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]);
};
/** What the worker has open besides a connection for each living sandbox. */
const descriptors = (): number =>
  readdirSync(`/proc/${worker.pid}/fd`).length - leavesRunning(broker, "[^/ ]+").length;

/** Puts the hostile lambda into the registry under a name of its own. */
const add = async (name: string, { atImport, runtimeSec }: Partial<HostileCase> = {}): Promise<void> => {
  const directory = path.join(worker.registryDir, name);
  await cp(HOSTILE, directory, { recursive: true, filter: (file) => !file.endsWith("__pycache__") });
  if (atImport !== undefined) await writeFile(path.join(directory, "import.json"), JSON.stringify(atImport));
  if (runtimeSec !== undefined)
    await writeFile(path.join(directory, "ol.yaml"), `limits:\n  runtime_sec: ${runtimeSec}\n`);
};

/** A call's reply; a status of 0 and the reason if there was none, or only the beginning of one. */
const call = async (
  name: string,
  steps: readonly Step[],
  padding = 0,
): Promise<Pick<TestReply, "status" | "headers"> & { readonly text: string }> => {
  const body = JSON.stringify(steps) + " ".repeat(padding);
  try {
    const reply = await client.send(worker.port, { method: "POST", path: `/run/${name}`, body });
    return { status: reply.status, headers: reply.headers, text: reply.body.toString("latin1") };
  } catch (error) {
    return { status: 0, headers: {}, text: String(error) };
  }
};

const expectNobodyElseNoticed = async (): Promise<void> => {
  for (const witness of witnesses) expect(await witness.wrong()).toEqual([]);
};

beforeAll(async () => {
  worker = await startWorkerProcess({ mem_pool_mb: 4_000 });
  client = agentClient();
  for (const name of ["witness-1", "witness-2"]) {
    await add(name);
    await writeFile(path.join(worker.registryDir, name, "f.py"), WITNESS);
  }
  witnesses = ["witness-1", "witness-2"].map((name) => new Witness(worker.port, name));
  await expectNobodyElseNoticed();
  broker = descendantsOf(worker.pid).find((pid) => treesOf(pid).length > 0) ?? 0;
  before = { peakKb: await memoryOf("VmHWM"), descriptors: descriptors() };
  process.stdout.write(`OL_TEST_SEED=${random.seed}\n`);
});

afterAll(async () => {
  for (const witness of witnesses) await witness.close();
  await client.close();
  await worker.close();
});

describe.concurrent("a lambda that takes over its sandbox's connection", () => {
  // The control: without it nobody knows whether the others' bytes arrive.
  it("can speak for the runtime", async () => {
    await add("control");
    const answer = await call("control", [write(reply(1, '"hi!"')), ["sleep", 60]]);
    expect(answer).toMatchObject({ status: 200, text: '"hi!"' });
  });

  it.each(HOSTILE_CASES.map((one, index) => [one.what, index, one] as const))(
    "harms nobody by %s",
    async (_what, index, { steps = [], calls = 1, padding = 0, status, text = /(?:)/, ...rest }) => {
      const name = `hostile-${index}`;
      await add(name, rest);
      for (let number = 0; number < calls; number += 1) {
        const answer = await call(name, steps, padding);
        expect(answer).toMatchObject({ status: status === "broken" ? 0 : status });
        expect(answer.text).toMatch(text);
        expect(Object.keys(answer.headers)).not.toContain("x-evil");
      }
      await expectNobodyElseNoticed();
      const sandboxes = rest.sandbox === "ended" ? 0 : 1;
      expect(await eventually(() => leavesRunning(broker, name).length === sandboxes, 5_000)).toBe(true);
      if (sandboxes > 0 || rest.atImport !== undefined) return;
      expect(await call(name, [])).toMatchObject({ status: 200 });
    },
  );
});

describe("lambdas that are hostile at random, eight at once", () => {
  it("harm nobody, and each call of theirs is answered once", async () => {
    const seen = new Map<number, number>();
    const attack = async (hostile: number): Promise<void> => {
      const name = `random-${hostile}`;
      await add(name, { runtimeSec: 1 });
      for (let round = 0; round < scaled(12, 500); round += 1) {
        const mine = new Random(random.seed + hostile * 10_000 + round);
        const next = (): number => mine.next();
        const steps = pieces(next, mutate(next, TRAFFIC)).map((piece) => write(piece));
        const { status } = await call(name, steps);
        seen.set(status, (seen.get(status) ?? 0) + 1);
      }
    };
    await Promise.all([1, 2, 3, 4, 5, 6, 7, 8].map(attack));
    // 0 is a reply that was broken off; the rest says which rule was broken, or that none was.
    for (const status of seen.keys()) expect([0, 200, 400, 500, 502, 504]).toContain(status);
    expect(seen.get(502)).toBeGreaterThan(0);
    await expectNobodyElseNoticed();
  });
});

describe("a worker that was attacked", () => {
  it("answers HEAD without the body that a sandbox sends all the same, and the next request on the connection", async () => {
    await add("head");
    const body = JSON.stringify([write(reply(1, '"hi!"')), ["sleep", 60]]);
    const request = { method: "HEAD", path: "/run/head", body };
    const head = await client.send(worker.port, request);
    expect(head).toMatchObject({ status: 200, body: Buffer.alloc(0) });
    const next = await client.send(worker.port, { method: "GET", path: "/status" });
    expect(next.status).toBe(200);
  });

  it("has lost none of its innocent sandboxes, and has grown by little", async () => {
    await expectNobodyElseNoticed();
    for (const witness of witnesses) expect(witness.longestMs).toBeLessThan(MAX_WAIT_MS);
    const grownKb = (await memoryOf("VmHWM")) - before.peakKb;
    expect(grownKb).toBeLessThan(MAX_GROWTH_KB);
    process.stdout.write(
      `peak of the worker ${Math.round((await memoryOf("VmHWM")) / 1024)} MB, ${Math.round(grownKb / 1024)} more than before; ` +
        `longest call of an innocent lambda ${Math.round(Math.max(...witnesses.map(({ longestMs }) => longestMs)))} ms\n`,
    );
    // Closing them shows at the worker a moment later.
    await client.close();
    client = agentClient();
    expect(await eventually(() => descriptors() <= before.descriptors, 5_000)).toBe(true);
    expect(worker.log()).not.toMatch(/uncaught|unhandled/i);
  });
});
