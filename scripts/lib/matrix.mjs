// `scripts/test.sh --all`: chosen tests on every Node line and every Python of this machine, as root and as an
// ordinary user. What could not be run is named, never left out in silence.
import { execFile } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { countTests } from "./count-tests.mjs";
import { NODE_LINES, findNode, findPythons } from "./interpreters.mjs";
import { ORDINARY_UID, asOrdinaryUser } from "./ordinary-user.mjs";
import { repositoryRoot } from "./workspace.mjs";

const minuteMs = 60_000;
const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const OUTPUT_BYTES = 64 << 20;

/** What every combination has to pass. */
const EACH = [
  "packages/sandbox/test/integration/sock-conformance.test.ts",
  "packages/sandbox/test/integration/guest-frames.test.ts",
  "packages/sandbox/test/integration/sock-python.test.ts",
];
/** A real worker over HTTP, which takes longer: each Node and each Python has it, but not each pair of them. */
const EACH_OF_BOTH = ["test/e2e/http.test.ts"];
/** Once for each Node: what has no Python in it. */
const EACH_NODE = ["/test/unit/", "packages/worker/test/integration", "packages/admin/test/integration"];
/** Once for each Python and user: the defences, which are made of what that Python brings. */
const eachPython = ({ name }) => [
  `packages/sandbox/test/integration/sock-security-probes${name === "root" ? ".root" : ""}.test.ts`,
];

/** Every combination, each with the tests it has to pass. */
export const combinations = (nodes, pythons, users) =>
  users.flatMap((user, userIndex) =>
    pythons.flatMap((python, pythonIndex) =>
      nodes.map((node, nodeIndex) => ({
        node,
        python,
        user,
        tests: [
          ...EACH,
          ...(pythonIndex % nodes.length === nodeIndex ? EACH_OF_BOTH : []),
          ...(nodeIndex === 0 ? eachPython(user) : []),
          ...(userIndex === 0 && pythonIndex === 0 ? EACH_NODE : []),
        ],
        unittest: nodeIndex === 0 && userIndex === 0,
      })),
    ),
  );

/** The table as Markdown. */
export const tableOf = (rows) =>
  [
    "| Node | Python | as | passed | failed | seconds |",
    "|---|---|---|---|---|---|",
    ...rows.map(
      ({ node, python, user, counts, seconds }) =>
        `| ${node.version} | ${python.version}${python.path.startsWith("/usr/") ? " (the system's)" : ""} | ${user} | ${counts.passed} | ${counts.failed + counts.skipped} | ${seconds} |`,
    ),
  ].join("\n");

const execute = (command, args, options) =>
  new Promise((resolve) => {
    const settings = { ...options, maxBuffer: OUTPUT_BYTES, killSignal: "SIGKILL", timeout: 10 * minuteMs };
    const child = execFile(command, args, settings, (_error, stdout, stderr) =>
      resolve({ code: child.exitCode ?? 1, output: stdout + stderr }),
    );
  });

/** The Python's own tests of the guest runtime; they need no Node. */
const runUnittest = async ({ path }, signal) => {
  const directory = join(repositoryRoot, "packages/sandbox/test/python");
  const { code, output } = await execute(
    path,
    ["-m", "unittest", "discover", "-s", directory, "-t", directory],
    { signal },
  );
  const ran = Number(/^Ran (\d+) tests/m.exec(output)?.[1] ?? 0);
  const passed = code === 0 && ran > 0;
  return {
    counts: passed ? { passed: ran, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 },
    output,
  };
};

/** A directory in which `node` and `python3` are those of the combination, and that belongs to its user. */
const makePlace = ({ node, python, user }) => {
  const place = mkdtempSync(join(tmpdir(), "ol-matrix-"));
  chmodSync(place, 0o755);
  for (const name of ["bin", "home", "mounts"]) mkdirSync(join(place, name));
  symlinkSync(node.path, join(place, "bin/node"));
  symlinkSync(python.path, join(place, "bin/python3"));
  if (user.isOther) chownSync(join(place, "home"), ORDINARY_UID, ORDINARY_UID);
  return place;
};

const runVitest = async (combination, place, signal) => {
  const { node, python, user, tests } = combination;
  const file = join(place, "home/results.json");
  // The other way to read the configuration writes beside it, which only the repository's owner may.
  const args = ["--configLoader", "runner", "--reporter=json", `--outputFile.json=${file}`];
  const vitest = [
    node.path,
    join(repositoryRoot, "node_modules/vitest/vitest.mjs"),
    "run",
    ...args,
    ...tests,
  ];
  const reached = [repositoryRoot.replace(/\/$/, ""), dirname(node.path), dirname(dirname(python.path))];
  const [command, ...rest] = [...(user.isOther ? asOrdinaryUser(reached, place) : []), ...vitest];
  const env = {
    ...process.env,
    PATH: `${join(place, "bin")}:${SYSTEM_PATH}`,
    ...(user.isOther && { HOME: join(place, "home") }),
  };
  const { code, output } = await execute(command, rest, { cwd: repositoryRoot, env, signal });
  const text = await readFile(file, "utf8").catch(() => undefined);
  const results = text === undefined ? undefined : JSON.parse(text);
  return { counts: countTests(results, code), output: failuresIn(results) || output.slice(-4_000) };
};

/** The failed tests with their reasons. */
const failuresIn = (results) =>
  (results?.testResults ?? [])
    .flatMap(({ name, message, assertionResults }) => [
      ...(message ? [`${name}: ${message}`] : []),
      ...assertionResults
        .filter(({ status }) => status === "failed")
        .map(({ fullName, failureMessages }) => `${name}: ${fullName}\n${failureMessages.join("\n")}`),
    ])
    .join("\n");

const sum = (all) => {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const counts of all) for (const key of Object.keys(total)) total[key] += counts[key];
  return total;
};

/** Runs one combination; prints what failed. */
export const runCombination = async (combination, write, signal) => {
  const beganMs = performance.now();
  const place = makePlace(combination);
  try {
    const parts = [await runVitest(combination, place, signal)];
    if (combination.unittest) parts.push(await runUnittest(combination.python, signal));
    for (const { counts, output } of parts) if (counts.failed > 0) write(`${output}\n`);
    const seconds = Math.round((performance.now() - beganMs) / 1000);
    const { node, python } = combination;
    return {
      node,
      python,
      user: combination.user.name,
      counts: sum(parts.map(({ counts }) => counts)),
      seconds,
    };
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
};

/** Whom tests can be run as: everybody, if we are root. */
export const usersHere = () =>
  process.getuid() === 0
    ? [
        { name: "root", isOther: false },
        { name: "ordinary user", isOther: true },
      ]
    : [{ name: "ordinary user", isOther: false }];

/** Runs all combinations; `signal` ends it early. Returns the counts of all of them together. */
export const runMatrix = async (write, signal) => {
  const lookedFor = await Promise.all(NODE_LINES.map(findNode));
  const nodes = lookedFor.filter(({ path }) => path !== undefined);
  const { pythons, missing } = await findPythons();
  const unavailable = lookedFor.filter(({ path }) => path === undefined);
  const rows = [];
  for (const combination of combinations(nodes, pythons, usersHere())) {
    if (signal.aborted) break;
    const row = await runCombination(combination, write, signal);
    rows.push(row);
    write(`${tableOf([row]).split("\n").at(-1)}\n`);
  }
  write(`\n${tableOf(rows)}\n`);
  for (const { what, why } of [...unavailable, ...missing]) write(`not run on ${what}: ${why}\n`);
  if (process.getuid() !== 0) write("not run as root: this is an ordinary user\n");
  // A Node that should be there and is not is a test that did not run; what this machine does not have is none.
  return sum([...rows.map(({ counts }) => counts), { passed: 0, failed: 0, skipped: unavailable.length }]);
};
