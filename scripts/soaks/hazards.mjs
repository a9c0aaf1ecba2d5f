// The hazards of forking from a process that has imported packages, with packages from the index: what is drawn at random
// must differ between all that is forked, what cannot be forked must be named, and nothing of what imports change may
// reach a lambda. Besides: what zygotes spare. Needs Python's pip, and an index that it can reach.
//
//   scripts/soak.sh hazards [LEAVES]    default: 60 of each of two zygotes
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

import { SandboxPool, SockEngine, parseImports, unfitOf } from "../../packages/sandbox/dist/index.js";

const PINS = `
  numpy==2.2.6 pandas==2.2.3 python-dateutil==2.9.0.post0 pytz==2025.2 six==1.17.0 tzdata==2025.2
  cryptography==45.0.6 cffi==1.17.1 pycparser==2.22 pymongo==4.14.1 dnspython==2.7.0 aiohttp==3.12.15
  aiosignal==1.4.0 aiohappyeyeballs==2.6.1 attrs==25.3.0 frozenlist==1.7.0 multidict==6.6.4
  propcache==0.3.2 yarl==1.20.1 idna==3.10 typing-extensions==4.14.1 polars==1.32.3 scipy==1.15.3
  scikit-learn==1.7.1 joblib==1.5.1 threadpoolctl==3.6.0
`
  .trim()
  .split(/\s+/);
const ALL = PINS.map((pin) => pin.split("==")[0]);
const PANDAS = ["pandas", "numpy", "python-dateutil", "pytz", "six", "tzdata"];
const FIT = ALL.filter((name) => name !== "polars");
const LEAVES = Number(process.argv[2] ?? "60");
const ROUNDS = 30;
const LIMITS = { memoryMb: 400, swappiness: 0, procs: 20, cpuPercent: 200, logMb: 1, scratchMb: 16 };

// Imported in the zygote: uses each generator there, as packages do that make a key or a name when they are imported.
const USED = `
import os, random, ssl, tempfile, uuid
import numpy
from bson import ObjectId
from cryptography.hazmat.primitives.asymmetric import ec

import aiohttp, pandas, pymongo


def draw():
    return {
        "random": random.random(),
        "ssl.RAND_bytes": ssl.RAND_bytes(16).hex(),
        "cryptography: EC key": hex(ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value),
        "bson.ObjectId": str(ObjectId()),
        "bson.ObjectId, its process's part": str(ObjectId())[8:18],
        "tempfile": next(tempfile._get_candidate_names()),
        "numpy.random": int(numpy.random.randint(1 << 62)),
        "numpy.random.default_rng": int(numpy.random.default_rng().integers(1 << 62)),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "os.urandom": os.urandom(16).hex(),
    }


DRAWN = draw()
`;

const CODE = {
  draw: `import used\n\n\ndef f(event):\n    return used.draw()\n`,
  hello: `def f(event):\n    return "Hello"\n`,
  state: `import os, sys, warnings\n\n\ndef f(event):\n    return [sorted(os.environ.items()), os.getcwd(), sys.argv]\n`,
  pandas: `import pandas\n\n\ndef f(event):\n    return int(pandas.DataFrame({"a": [1, 2, 3]}).a.sum())\n`,
};

const run = promisify(execFile);
let failures = 0;

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

const check = (fine, what) => {
  console.log(`${fine ? "ok  " : "FAIL"} ${what}`);
  if (!fine) failures += 1;
};

const install = async (directory) => {
  for (const pin of PINS) {
    const target = path.join(directory, pin.split("==")[0]);
    const options = [
      "--no-deps",
      "--only-binary",
      ":all:",
      "--quiet",
      "--disable-pip-version-check",
      "--no-input",
    ];
    await run("python3", ["-m", "pip", "install", ...options, "--target", target, pin]);
  }
  await mkdir(path.join(directory, "used"));
  await writeFile(path.join(directory, "used", "used.py"), USED);
};

const directory = await mkdtemp(path.join(tmpdir(), "ol-hazards-"));
try {
  await install(path.join(directory, "packages"));
  for (const [name, source] of Object.entries(CODE)) {
    await mkdir(path.join(directory, "code", name), { recursive: true });
    await writeFile(path.join(directory, "code", name, "f.py"), source);
  }
  const engine = await SockEngine.create({
    clusterId: Math.random().toString(36).slice(2, 10).padEnd(8, "0"),
    workerName: "hazards",
    workDir: path.join(directory, "work"),
    codeDir: path.join(directory, "code"),
    packagesDir: path.join(directory, "packages"),
    networks: ["none"],
  });
  const pool = SandboxPool.create({ engine, memoryMb: 1_000_000 });
  try {
    await differ(pool);
    await unfit(pool);
    await unchanged(pool);
    await spare(pool);
  } finally {
    await pool.close();
    await engine.close();
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
console.log(failures === 0 ? "all as it should be" : `${failures} failed`);
process.exitCode = failures === 0 ? 0 : 1;

/** Makes a zygote. */
function zygoteOf(pool, id, packages, modules, more = {}) {
  return pool.createZygote(id, { network: "none", packages, modules, limits: LIMITS, ...more });
}

/** The first call of a sandbox of its own, and the time that both took. */
async function call(pool, code, more = {}) {
  const began = performance.now();
  const spec = { name: code, code, network: "none", environment: {}, limits: LIMITS, ...more };
  const sandbox = await pool.acquire(spec);
  try {
    const reply = await sandbox.call({ invocationId: "soak", body: Buffer.from("{}"), timeoutMs: 60_000 });
    if (reply.failure !== undefined) throw new Error(reply.body.toString());
    return { result: JSON.parse(reply.body.toString()), ms: performance.now() - began };
  } finally {
    await sandbox.destroy();
  }
}

/** Leaves of two sibling zygotes, whose parent had used every generator: no value is drawn twice. */
async function differ(pool) {
  await zygoteOf(pool, "used", [...FIT, "used"], ["used"]);
  await zygoteOf(pool, "left", [...FIT, "used"], ["used"], { parent: "used" });
  await zygoteOf(pool, "right", [...FIT, "used"], ["used"], { parent: "used" });
  const seen = new Map();
  for (let made = 0; made < LEAVES; made += 1)
    for (const zygote of ["left", "right"]) {
      const { result } = await call(pool, "draw", { zygote, packages: [...FIT, "used"] });
      for (const [source, value] of Object.entries(result))
        seen.set(source, (seen.get(source) ?? new Set()).add(value));
    }
  for (const [source, { size }] of seen)
    check(size === 2 * LEAVES, `${size} of ${2 * LEAVES} leaves of two zygotes differ in ${source}`);
}

/** Polars starts threads, and is named also where another package imports it. */
async function unfit(pool) {
  for (const [modules, named] of [
    [["polars"], ["polars"]],
    [["six", "polars", "attrs"], ["polars"]],
  ])
    try {
      await zygoteOf(pool, "unfit", ALL, modules);
      check(false, `${modules.join(", ")} was to be refused`);
    } catch (error) {
      check(
        unfitOf(error).join() === named.join(),
        `importing ${modules.join(", ")}: ${error.message.slice(0, 120)}`,
      );
    }
}

/** What scikit-learn and others set in the environment stays in the zygote. */
async function unchanged(pool) {
  await zygoteOf(pool, "sklearn", FIT, ["sklearn", "pandas", "aiohttp"]);
  const plain = JSON.stringify((await call(pool, "state")).result);
  check(
    JSON.stringify((await call(pool, "state", { zygote: "sklearn", packages: FIT })).result) === plain,
    "environment",
  );
}

async function spare(pool) {
  console.log("\nzygote with     import ms  private MB  looked for in vain");
  for (const name of ["numpy", "pandas", "cryptography", "pymongo", "aiohttp", "sklearn", "scipy.stats"]) {
    const { import: went } = await zygoteOf(pool, `of-${name}`, FIT, [name]);
    const sought = went.sought.join(" ");
    console.log(
      name.padEnd(14),
      went.ms.toFixed(0).padStart(10),
      went.memoryMb.toFixed(1).padStart(11),
      "",
      sought,
    );
  }
  let report;
  pool.on("guest", ({ meta }, name, body) => {
    if (name === "imports" && meta.zygote === undefined) report = parseImports(body, meta.packages ?? []);
  });
  const runs = { hello: [], pandas: [], fresh: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [key, code, more] of [
      ["hello", "hello", {}],
      ["pandas", "pandas", { packages: PANDAS, zygote: "of-pandas" }],
      ["fresh", "pandas", { packages: PANDAS }],
    ]) {
      if (key === "fresh" && round % 5 > 0) continue;
      // So that the next one to wait has been forked.
      await new Promise((resolve) => setTimeout(resolve, 200));
      runs[key].push((await call(pool, code, more)).ms);
    }
  }
  console.log("\na fresh sandbox said of its imports:");
  for (const { directory, ms, kb, modules } of report.packages)
    console.log(`  ${directory.padEnd(16)} ${ms.toFixed(1).padStart(7)} ms ${kb} KB  ${modules.join(" ")}`);
  const [hello, pandas, fresh] = [median(runs.hello), median(runs.pandas), median(runs.fresh)];
  const each = `hello ${hello.toFixed(1)} ms, pandas from a zygote ${pandas.toFixed(1)} ms, fresh ${fresh.toFixed(0)} ms`;
  console.log(`\ncold start and first call, median of ${ROUNDS}: ${each}`);
  check(pandas <= 2.5 * hello, `${(pandas / hello).toFixed(2)} times a hello (at most 2.5)`);
  check(pandas <= fresh / 20, `1/${(fresh / pandas).toFixed(0)} of a fresh import (at most 1/20)`);
}
