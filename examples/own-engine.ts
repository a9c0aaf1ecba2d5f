// Runs lambdas in an engine of one's own (process-engine.ts) and, as for any engine, in the pool with its budget and events.
import { SandboxPool } from "@ol/sandbox";
import { CONFORMANCE_HANDLERS_DIR } from "@ol/sandbox/testing";

import { ProcessEngine } from "./process-engine.ts";

await using engine = new ProcessEngine({ codeDir: CONFORMANCE_HANDLERS_DIR });
await using pool = SandboxPool.create({ engine, memoryMb: 100 });
for (const note of engine.enforcement.notes) console.error(note);
const limits = { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 100, logMb: 0, scratchMb: 0 };
const sandbox = await pool.acquire({
  name: "count",
  code: "count",
  network: "host",
  environment: {},
  limits,
});
for (let call = 1; call <= 3; call += 1) {
  const { body } = await sandbox.call({
    invocationId: `call-${call}`,
    body: Buffer.from("0"),
    timeoutMs: 5_000,
  });
  console.log(`call ${call}: ${body.toString()}`);
}
console.log(`${Math.round((await sandbox.memoryBytes()) / 1024)} KB are its own`);
