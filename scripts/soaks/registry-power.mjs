// 20 power cuts of a guest in which three writers put objects into a registry's store and remove them: what was acknowledged
// before a cut is there after it, whole, and nothing is there by halves. Needs what scripts/vm.sh needs.
//
//   scripts/soak.sh registry-power [ROUNDS]    OL_TEST_SEED repeats what is written, not the moments
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { WRITERS, changeOf, digestOf } from "../lib/registry-changes.mjs";

const rounds = Number(process.argv[2] ?? 20);
const seed = Number(process.env.OL_TEST_SEED ?? Date.now() % 2 ** 31);
/** How much of what was begun the host may not have heard of when the guest was cut. */
const UNHEARD = 100;
const directory = mkdtempSync(join(tmpdir(), "ol-power-"));
const disk = join(directory, "disk");

/** What one life of the guest said. */
const life = (round, last) =>
  new Promise((resolve, reject) => {
    const changes = 3 + Math.floor(Math.random() * 30);
    const command = ["node", "scripts/vm/registry-load.mjs", `${seed}`, `${round}`, `${changes}`];
    const options = [`--disk=${disk}`, "--timeout=1200", ...(last ? [] : ["--cut=CUT NOW"])];
    const guest = spawn("scripts/vm.sh", [...options, "--", ...command, ...(last ? ["last"] : [])], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const said = [];
    createInterface({ input: guest.stdout }).on("line", (line) => {
      if (line.startsWith("{")) said.push(JSON.parse(line));
      else if (line !== "CUT NOW") console.log(line);
    });
    guest.on("error", reject);
    guest.on("close", (code) =>
      code === 0 ? resolve(said) : reject(new Error(`the guest ended with ${code}`)),
    );
  });

const problems = [];
/** What each key may be: a set of digests, null for nothing. */
let possible = new Map();
let acknowledged = 0;

const check = (round, said) => {
  const found = new Map();
  for (const { key, digest, recorded } of said.filter((each) => each.key !== undefined)) {
    if (digest !== recorded) problems.push(`round ${round}: ${key} is ${digest}, recorded as ${recorded}`);
    found.set(key, digest);
  }
  for (const [key, digests] of possible) {
    const is = found.get(key) ?? null;
    if (!digests.has(is))
      problems.push(`round ${round}: ${key} is ${is}, not one of ${[...digests].join(", ")}`);
  }
  for (const key of found.keys())
    if (!possible.has(key)) problems.push(`round ${round}: ${key} was never written`);
  for (const { log } of said) if (log !== undefined) problems.push(`round ${round}: ${log}`);
  const { checked } = said.find((each) => each.checked !== undefined) ?? { checked: {} };
  const distinct = new Set(found.values()).size;
  const expected = { objects: found.size, blobs: distinct, files: distinct, quarantined: 0, temporary: 0 };
  if (JSON.stringify(checked) !== JSON.stringify(expected)) {
    problems.push(`round ${round}: ${JSON.stringify(checked)} instead of ${JSON.stringify(expected)}`);
  }
  return found;
};

/** What may be there after a cut: of each key what was last acknowledged, or anything that had been begun since. */
const afterCut = (round, said, found) => {
  const next = new Map([...found].map(([key, digest]) => [key, new Set([digest])]));
  let heard = 0;
  for (let writer = 0; writer < WRITERS; writer += 1) {
    const done = said.filter((each) => each.done?.[0] === writer).length;
    heard += done;
    for (let count = 0; count < done + UNHEARD; count += 1) {
      const change = changeOf(seed, round, writer, count);
      const digests = next.get(change.key) ?? new Set([null]);
      next.set(change.key, count < done ? new Set([digestOf(change)]) : digests.add(digestOf(change)));
    }
  }
  acknowledged += heard;
  console.log(
    `round ${round}: ${found.size} objects found, then ${heard} changes acknowledged before the cut`,
  );
  return next;
};

console.log(`OL_TEST_SEED=${seed}`);
try {
  for (let round = 0; round < rounds; round += 1) {
    const said = await life(round, false);
    possible = afterCut(round, said, check(round, said));
  }
  check(rounds, await life(rounds, true));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
for (const problem of problems) console.log(problem);
console.log(`${rounds} power cuts, ${acknowledged} acknowledged changes, ${problems.length} problems`);
process.exitCode = problems.length === 0 && acknowledged > rounds ? 0 : 1;
