// A cluster of three machines under load: this one with registry and load balancer, two guests with a worker each, which
// register themselves. One guest dies (SIGKILL of its qemu, so that not one packet says so) and comes back, then the other one's
// cable is pulled for a while. Each call counts. To be run in namespaces of its own, see scripts/soaks/machines.sh.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { HostCluster } from "./cluster.mjs";
import { judge } from "./judge.mjs";
import { Ledger } from "./ledger.mjs";
import { call, Load } from "./load.mjs";
import { Machine } from "./machine.mjs";

const HOST = "10.77.0.1";
const MACHINES = ["10.77.0.11", "10.77.0.12"];
/** An emulated machine with more to do would miss health checks, and be taken for dead. */
const CLIENTS = 4;
const NAMES = Array.from({ length: 8 }, (_, at) => `count-${at}`);
const CALM_MS = 10_000;
const GONE_MS = 20_000;
const PATIENCE_MS = 300_000;

const directory = mkdtempSync(join(tmpdir(), "ol-machines-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

const problems = [];
/** When machines were lost. */
const losses = [];
const began = performance.now();
const say = (line) =>
  console.log(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}`);

const until = async (what, holds) => {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${PATIENCE_MS / 1000} s: ${what}`);
    await sleep(200);
  }
};

const machines = [];
const cutAll = () => Promise.all(machines.map((machine) => machine.cut()));
// All other processes end with this one: it is the first of its namespace.
for (const signal of ["SIGINT", "SIGTERM"])
  process.once(signal, () => void cutAll().finally(() => process.exit(1)));

const ledger = await Ledger.open(HOST);
const cluster = await HostCluster.start(join(directory, "cluster"), HOST);
await cluster.upload(NAMES, `${HOST}:${ledger.port}`);
for (const [at, address] of MACHINES.entries()) {
  const disk = join(directory, `disk-${at}`);
  machines.push(
    new Machine({ tap: `tap${at}`, address, disk, configuration: cluster.configurationFor(address) }),
  );
}

/** Undefined if the balancer does not know the machine (any more). */
const healthOf = async ({ address }) => {
  const { dispatcher } = await cluster.stats();
  return dispatcher.workers.find(({ id }) => id === `${address}:8080`)?.health;
};

/** The balancer knows it, and it runs calls: not only one. */
const works = async (machine) => {
  await until(`${machine.address} is registered`, async () => (await healthOf(machine)) === "up");
  const before = ledger.runsOn(machine.address);
  await until(`${machine.address} gets calls`, () => ledger.runsOn(machine.address) >= before + 20);
};

/** The ledger must be able to see what it is there for: a call that is sent twice. */
const controlLedger = async () => {
  for (let times = 0; times < 2; times += 1) await call(cluster.url, NAMES[0], "sent-twice");
  const runs = ledger.runsOf("sent-twice");
  if (runs !== 2) problems.push(`the ledger counted ${runs} runs of a call that was sent twice`);
};

const tell = (line, load) => {
  const byStatus = {};
  for (const { status } of load.outcomes) byStatus[status] = (byStatus[status] ?? 0) + 1;
  const where = machines.map(({ address }) => `${address} ran ${ledger.runsOn(address)}`);
  say(`${line}; ${load.outcomes.length} calls answered: ${JSON.stringify(byStatus)}, ${where.join(", ")}`);
};

/** A machine is lost to the others as `lose` does it, then there again as `restore` does. */
const loseForAWhile = async (machine, load, lose, restore) => {
  losses.push(performance.now());
  await lose();
  await sleep(GONE_MS);
  if ((await healthOf(machine)) !== undefined)
    problems.push(`${machine.address} is still registered after ${GONE_MS / 1000} s`);
  tell(`${machine.address} was gone for ${GONE_MS / 1000} s`, load);
  await restore();
  await works(machine);
  tell(`${machine.address} is back and runs calls`, load);
  await sleep(CALM_MS);
};

const cable = (at, state) => execFileSync("ip", ["link", "set", `tap${at}`, state]);

const trial = async () => {
  say("registry and load balancer run; booting two machines");
  await Promise.all(machines.map((machine) => machine.boot()));
  for (const name of NAMES)
    await until(
      `${name} answers`,
      async () => (await call(cluster.url, name, `warm-${name}`)).status === 200,
    );
  await controlLedger();
  const load = new Load(cluster.url, NAMES, CLIENTS);
  try {
    for (const machine of machines) await works(machine);
    tell("both machines run calls", load);
    await sleep(CALM_MS);
    const [first, second] = machines;
    say(`${first.address} dies`);
    await loseForAWhile(
      first,
      load,
      () => first.cut(),
      () => first.boot(),
    );
    say(`${second.address}'s cable is pulled`);
    await loseForAWhile(
      second,
      load,
      () => cable(1, "down"),
      () => cable(1, "up"),
    );
  } finally {
    await load.stop();
  }
  tell("the end", load);
  const { retries, failures } = await cluster.stats();
  say(`calls given to the other machine: ${retries}; tries that failed: ${JSON.stringify(failures)}`);
  problems.push(...judge(load, ledger, losses, CLIENTS));
  return load.sent;
};

let sent = 0;
try {
  sent = await trial();
} catch (error) {
  problems.push(String(error.stack));
}
await cutAll();
await cluster.stop();
for (const problem of problems) console.log(problem);
console.log(`${sent} calls, ${losses.length} machines lost, ${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
