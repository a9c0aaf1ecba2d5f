// One life of a registry's store in a guest whose power is cut: says what is there, whole, then writes with three writers, says
// each change when it was acknowledged, and at some moment after CHANGES of them CUT NOW.
//
//   registry-load.mjs SEED ROUND CHANGES [last]    with "last" nothing is written
import { createHash } from "node:crypto";
import { readdirSync, writeSync } from "node:fs";

import { ObjectStore } from "../../packages/registry/dist/index.js";
import { WRITERS, changeOf } from "../lib/registry-changes.mjs";

const [seed, round, changes, last] = process.argv.slice(2);
const directory = "/data/registry";
const never = new AbortController().signal;
const say = (message) => writeSync(1, `${JSON.stringify(message)}\n`);

const log = (message) => say({ log: message });
const logger = { debug: () => undefined, info: () => undefined, warn: log, error: log };
const store = await ObjectStore.open({ directory, logger });
if (!store.hasBucket("code")) await store.createBucket("code");

for (const { key, digest } of store.list("code", { prefix: "", delimiter: "", after: "", limit: 1000 })
  .objects) {
  const reader = await store.read("code", key);
  const hash = createHash("sha256");
  for await (const piece of reader.stream()) hash.update(piece);
  await reader[Symbol.asyncDispose]();
  say({ key, digest: hash.digest("hex"), recorded: digest });
}
const { blobs, objects, quarantined } = store.stats();
const files = readdirSync(`${directory}/blobs`).flatMap((digit) =>
  readdirSync(`${directory}/blobs/${digit}`),
).length;
say({ checked: { objects, blobs, files, quarantined, temporary: readdirSync(`${directory}/tmp`).length } });

if (last === "last") {
  await store.close();
  process.exit(0);
}

let acknowledged = 0;
/** About what a change takes in an emulated guest. */
const MOST_LATER_MS = 500;

const write = async (writer) => {
  for (let count = 0; ; count += 1) {
    const { key, content } = changeOf(seed, round, writer, count);
    if (content === undefined) await store.delete("code", key);
    else {
      const bytes = (async function* pieces() {
        for (let at = 0; at < content.length; at += 65_536) yield content.subarray(at, at + 65_536);
      })();
      const body = { bytes, algorithms: [], verify: () => undefined };
      await store.put("code", key, { headers: {}, body }, never);
    }
    say({ done: [writer, count] });
    acknowledged += 1;
    if (acknowledged === Number(changes))
      setTimeout(() => writeSync(1, "CUT NOW\n"), Math.random() * MOST_LATER_MS);
  }
};
await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
