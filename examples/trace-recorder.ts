// Records what happens in a process, as JSON lines on standard output: every sandbox, zygote, eviction, queue, call and
// scaling decision. The recorder is the loop over the channels; what follows is something for it to record.
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import {
  type CodeSource,
  type LambdaChannels,
  LAMBDA_CHANNELS,
  type LambdaCode,
  lambdaError,
  LambdaManager,
  onLambdaChannel,
} from "@ol/lambda";
import { SANDBOX_CHANNELS, SandboxPool, SockEngine } from "@ol/sandbox";

const record = (channel: keyof LambdaChannels): (() => void) =>
  onLambdaChannel(channel, (message) => {
    const atMs = Math.round((performance.timeOrigin + performance.now()) * 1000) / 1000;
    process.stdout.write(`${JSON.stringify({ atMs, channel, ...message })}\n`);
  });
const stop = [...SANDBOX_CHANNELS, ...LAMBDA_CHANNELS].map((channel) => record(channel));

/** Lambdas of a directory that nobody changes. */
class FixedSource implements CodeSource {
  readonly #names: readonly string[];

  constructor(names: readonly string[]) {
    this.#names = names;
  }

  async resolve(name: string): Promise<LambdaCode> {
    const stamp = await this.current(name);
    return { name, digest: stamp, dir: name, stamp, config: { environment: {}, limits: {} } };
  }

  async current(name: string): Promise<string> {
    if (!this.#names.includes(name)) throw lambdaError("OL_LAMBDA_UNKNOWN", `there is no lambda ${name}`);
    return "1";
  }

  async kept(): Promise<readonly string[]> {
    return [];
  }

  release(): void {
    // There is nothing to clean up.
  }
}

const call = (manager: LambdaManager, name: string, invocationId: string): Promise<void> =>
  new Promise((resolve) => {
    const http = { method: "POST", mount: `/run/${name}`, path: "", query: "", client: "127.0.0.1" };
    const request = { invocationId, body: Buffer.from("{}"), http, traceparent: "", rawHeaders: [] };
    manager.invoke(name, request, {
      whole: () => resolve(),
      start: () => undefined,
      chunk: () => true,
      end: () => resolve(),
      fail: () => resolve(),
    });
  });

const directory = await mkdtemp(join(tmpdir(), "recorder-"));
try {
  const names = ["quick", "slow", "large"];
  const bodies = { quick: "return 1", slow: "time.sleep(0.05)", large: "return 'x' * 1000" };
  for (const [name, body] of Object.entries(bodies)) {
    await mkdir(join(directory, "code", name), { recursive: true });
    await writeFile(join(directory, "code", name, "f.py"), `import time\n\ndef f(event):\n    ${body}\n`);
  }
  await using engine = await SockEngine.create({
    clusterId: randomBytes(4).toString("hex"),
    workerName: "w",
    workDir: join(directory, "work"),
    codeDir: join(directory, "code"),
  });
  // Room for two: the third lambda's sandbox takes the place of another.
  await using pool = SandboxPool.create({ engine, memoryMb: 100 });
  await using manager = new LambdaManager({
    pool,
    source: new FixedSource(names),
    limits: {
      memoryMb: 50,
      swappiness: 0,
      procs: 10,
      cpuPercent: 100,
      logMb: 1,
      scratchMb: 10,
      runtimeSec: 10,
      bodyMb: 1,
    },
    network: "host",
    slots: 4,
    queueTimeoutMs: 10_000,
    registryCacheMs: 5_000,
  });
  for (let round = 0; round < 2; round += 1)
    for (const name of [...names, "nobody"]) await call(manager, name, `${name}-${round}`);
} finally {
  await rm(directory, { recursive: true, force: true });
  for (const end of stop) end();
}
