// The part of test.sh that needs Node: installs, builds, checks, tests, and adds everything up. A check counts
// as one test. With --all some of the tests run again on every Node and Python. The last line of the output is
// "N passed, N failed, N skipped".
import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { countTests, skippedTests } from "./lib/count-tests.mjs";
import { realPython } from "./lib/interpreters.mjs";
import { runMatrix } from "./lib/matrix.mjs";
import { anybodyCanRun, copyNode } from "./lib/reachable-node.mjs";
import { isMain, repositoryRoot } from "./lib/workspace.mjs";

const minuteMs = 60_000;
const bin = (name) => join(repositoryRoot, "node_modules/.bin", name);

/** Set by the first signal that asks us to stop: what runs is ended, nothing more is begun. */
const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => interruption.abort());

const signalGroup = (pid, signal) => {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
};

/** Runs a command with its output on ours; resolves to its exit code, non-zero too if it had to be stopped. */
const runCommand = (command, args, timeoutMs) =>
  new Promise((resolve) => {
    // A process group of its own, so that a command that hangs is ended with all its children.
    const child = spawn(command, args, {
      cwd: repositoryRoot,
      stdio: ["ignore", "inherit", "inherit"],
      detached: true,
    });
    const timer = setTimeout(() => {
      process.stderr.write(`stopped after ${timeoutMs / minuteMs} minutes: ${command} ${args.join(" ")}\n`);
      signalGroup(child.pid, "SIGKILL");
    }, timeoutMs);
    const interrupt = () => signalGroup(child.pid, "SIGTERM");
    interruption.signal.addEventListener("abort", interrupt);
    const done = (code) => {
      clearTimeout(timer);
      interruption.signal.removeEventListener("abort", interrupt);
      if (interruption.signal.aborted) process.exit(130);
      resolve(code);
    };
    child.once("error", (error) => {
      process.stderr.write(`${command}: ${error.message}\n`);
      done(1);
    });
    child.once("exit", (code) => done(code ?? 1));
  });

// Without these nothing after them means anything, so the first that fails ends the run.
const SETUP = [
  [
    "install",
    "npx",
    ["--prefer-offline", "-y", "pnpm@10.34.8", "install", "--frozen-lockfile"],
    10 * minuteMs,
  ],
  ["build", bin("tsc"), ["-b"], 5 * minuteMs],
];

const CHECKS = [
  ["format", bin("oxfmt"), ["--check", "."], 2 * minuteMs],
  ["lint", bin("oxlint"), ["--type-aware", "--deny-warnings"], 5 * minuteMs],
  ["types of tests", bin("tsc"), ["-p", "tsconfig.test.json"], 5 * minuteMs],
  ["layers", "node", ["scripts/check-layers.mjs"], minuteMs],
  ["specification", "node", ["scripts/check-spec.mjs"], minuteMs],
  ["errors page", "node", ["scripts/gen-errors.mjs", "--check"], minuteMs],
  ["library pages", "node", ["scripts/gen-library.mjs", "--check"], minuteMs],
  ["packages", "node", ["scripts/check-pack.mjs"], 10 * minuteMs],
];

const testsTimeoutMs = 60 * minuteMs;

const runTests = async () => {
  const scratch = await mkdtemp(join(tmpdir(), "ol-tests-"));
  try {
    const file = join(scratch, "results.json");
    const args = ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
    const code = await runCommand(bin("vitest"), args, testsTimeoutMs);
    const text = await readFile(file, "utf8").catch(() => undefined);
    if (text === undefined) return countTests(undefined, 1);
    const results = JSON.parse(text);
    for (const test of skippedTests(results)) process.stdout.write(`skipped: ${test}\n`);
    return countTests(results, code);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
};

/** Makes sure that the users whom root's tests make can run the Node that is first in PATH. */
const makeNodeReachable = () => {
  if (process.getuid() !== 0 || anybodyCanRun(process.execPath)) return;
  const copy = copyNode();
  process.once("exit", () => rmSync(copy, { recursive: true, force: true }));
  process.stdout.write(`Ordinary users cannot run ${process.execPath}; the tests use a copy in ${copy}\n`);
  process.env.PATH = `${join(copy, "bin")}:${process.env.PATH}`;
};

/**
 * Puts the interpreter itself before its launcher: pyenv's looks for a version each time that it is started, which
 * takes ten times as long as starting Python, and the tests start hundreds.
 */
const makePythonDirect = async () => {
  const python = await realPython();
  if (python !== undefined) process.env.PATH = `${dirname(python)}:${process.env.PATH}`;
};

const main = async () => {
  makeNodeReachable();
  await makePythonDirect();
  const total = { passed: 0, failed: 0, skipped: 0 };
  const failures = [];
  const step = async ([name, command, args, timeoutMs]) => {
    process.stdout.write(`\n== ${name}\n`);
    const ok = (await runCommand(command, args, timeoutMs)) === 0;
    if (!ok) failures.push(name);
    return ok;
  };
  const finish = () => {
    if (failures.length > 0) process.stdout.write(`\nfailed: ${failures.join(", ")}\n`);
    process.exitCode = total.failed > 0 || total.skipped > 0 ? 1 : 0;
    process.stdout.write(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
  };
  const matrix = async () => {
    process.stdout.write("\n== every Node and Python\n");
    const counts = await runMatrix((text) => process.stdout.write(text), interruption.signal);
    if (interruption.signal.aborted) process.exit(130);
    if (counts.failed > 0) failures.push("every Node and Python");
    for (const key of Object.keys(total)) total[key] += counts[key];
  };
  for (const setup of SETUP) {
    if (await step(setup)) continue;
    total.failed += 1;
    return finish();
  }
  for (const check of CHECKS) total[(await step(check)) ? "passed" : "failed"] += 1;
  process.stdout.write("\n== tests\n");
  const tests = await runTests();
  if (tests.failed > 0) failures.push("tests");
  for (const key of Object.keys(total)) total[key] += tests[key];
  if (process.argv.includes("--all")) await matrix();
  return finish();
};

if (isMain(import.meta.url)) await main();
