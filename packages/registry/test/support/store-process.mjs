// A store in a process of its own, told what to do by lines of JSON on its standard input, and killed by tests at the worst
// moments. Uses the built package, so that no loader of a test runner is needed in it.
//
// argv[2] is JSON: `directory`, `limits`. A request is {id, verb, ...}; its answer, a line on standard output, {id, result} or
// {id, error: {code, message}}. `load` says beside that what it does. Ends when its input does.
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";

import { ObjectStore } from "../../dist/index.js";

const { directory, limits } = JSON.parse(process.argv[2]);

// At once: what is said counts even if the process is killed in the next moment.
const tell = (message) => writeSync(1, `${JSON.stringify(message)}\n`);
const explain = (error) => ({
  code: error.code ?? error.name,
  message: error.message,
  cause: error.cause?.code ?? error.cause?.message,
});

const logged = [];
const write = (level) => (message) => level !== "info" && logged.push(message);
const logger = { debug: () => undefined, info: write("info"), warn: write("warn"), error: write("error") };

let store;
try {
  store = await ObjectStore.open({ directory, limits, logger });
  if (!store.hasBucket("code")) await store.createBucket("code");
} catch (error) {
  tell({ id: 0, error: explain(error) });
  process.exit(1);
}
tell({ id: 0, result: "open" });

const never = new AbortController().signal;
const PIECE = 64 * 1024;

/** `size` bytes that differ from those of any other `seed`; `hash` gets them too. */
async function* content(seed, size, hash) {
  const piece = Buffer.alloc(Math.min(size, PIECE), `${seed} `);
  for (let at = 0; at < size; at += PIECE) {
    piece.writeUInt32BE(at, 0);
    const next = Buffer.from(piece.subarray(0, size - at));
    hash?.update(next);
    yield next;
  }
}

const put = (key, seed, size, hash) => {
  const body = { bytes: content(seed, size, hash), algorithms: [], verify: () => undefined };
  return store.put("code", key, { headers: {}, body }, never);
};

const digestOf = async (key) => {
  const reader = await store.read("code", key);
  const hash = createHash("sha256");
  for await (const piece of reader.stream()) hash.update(piece);
  await reader[Symbol.asyncDispose]();
  return hash.digest("hex");
};

const digestOfContent = async (seed, size) => {
  const hash = createHash("sha256");
  for await (const piece of content(seed, size)) hash.update(piece);
  return hash.digest("hex");
};

const SIZES = [0, 100, 20_000, 300_000, 1_500_000];

/** Writes and removes without end: a few keys of its own, and one that all writers share. */
const writeOn = async (writer) => {
  for (let count = 0; ; count += 1) {
    const own = `writer ${writer}/${count % 4}`;
    const key = count % 5 === 4 ? "shared" : own;
    const change = `${writer}.${count}`;
    if (count % 7 === 6 && key === own) {
      tell({ begins: change, key, digest: null });
      await store.delete("code", key);
    } else {
      // Everybody writes some of the same contents, so that they meet.
      const seed = count % 3 === 0 ? "all the same" : randomBytes(8).toString("hex");
      const size = SIZES[(count + writer) % SIZES.length];
      tell({ begins: change, key, digest: await digestOfContent(seed, size) });
      await put(key, seed, size);
    }
    tell({ done: change });
  }
};

const peakMb = () => process.resourceUsage().maxRSS / 1024;

const verbs = {
  put: async ({ key, seed, size }) => (await put(key, seed, size)).digest,
  delete: ({ key }) => store.delete("code", key),
  digest: ({ key }) => digestOf(key),
  expected: ({ seed, size }) => digestOfContent(seed, size),
  keys: async () =>
    store
      .list("code", { prefix: "", delimiter: "", after: "", limit: 100_000 })
      .objects.map(({ key }) => key),
  stats: async () => ({ ...store.stats(), logged }),
  temporary: async () => readdirSync(`${directory}/tmp`),
  blobs: async () =>
    readdirSync(`${directory}/blobs`).flatMap((digit) => readdirSync(`${directory}/blobs/${digit}`)),
  /** In this process's namespaces. */
  run: async ({ command, given }) => execFileSync(command, given, { encoding: "utf8" }),
  load: async ({ writers }) => {
    for (let writer = 0; writer < writers; writer += 1) {
      void writeOn(writer).catch((error) => {
        tell({ failed: explain(error) });
        process.exit(1);
      });
    }
  },
  /** What memory it takes to write and to read an object, in MB above what there was. */
  memory: async ({ key, size }) => {
    await put("warm", "warm", 8 * 1024 * 1024);
    const before = peakMb();
    const hash = createHash("sha256");
    await put(key, "large", size, hash);
    const written = hash.digest("hex");
    const read = await digestOf(key);
    return { moreMb: peakMb() - before, same: written === read };
  },
  close: async () => {
    await store.close();
    setImmediate(() => process.exit(0));
  },
};

const answer = async ({ id, verb, ...request }) => {
  try {
    tell({ id, result: (await verbs[verb](request)) ?? null });
  } catch (error) {
    tell({ id, error: explain(error) });
  }
};

createInterface({ input: process.stdin }).on("line", (line) => {
  void answer(JSON.parse(line));
});
process.stdin.on("end", () => process.exit(0));
