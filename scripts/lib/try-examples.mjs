// Follows the examples of the packages' READMEs in a project that has the packages installed, each in a folder of its own.
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

import { deviation, exampleIn, withPorts } from "./readme-example.mjs";
import { repositoryRoot } from "./workspace.mjs";

const typesTimeoutMs = 120_000;
const commandTimeoutMs = 120_000;
// Those that the documentation calls by their defaults: worker, another worker, balancer, registry.
const PORTS = [8080, 8081, 7079, 9000];

const otherPorts = async () => {
  // Of the packages that were built: whoever runs this has just packed them.
  const { freePorts } = await import("../../packages/common/dist/index.js");
  const first = await freePorts(PORTS.length);
  return new Map(PORTS.map((port, at) => [port, first + at]));
};

/** Compiles them in place. Types are checked as strictly as TypeScript can, our packages' declarations included. */
const compile = async (folder, files) => {
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    noImplicitOverride: true,
    noImplicitReturns: true,
    noUnusedLocals: true,
    skipLibCheck: false,
    target: "ES2023",
    lib: ["ES2023", "ESNext.Disposable"],
    module: "NodeNext",
    types: ["node"],
    typeRoots: [join(repositoryRoot, "node_modules/@types")],
  };
  if (files.length === 0) return [];
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  try {
    const compiler = join(repositoryRoot, "node_modules/.bin/tsc");
    await promisify(execFile)(compiler, ["--project", folder], { timeout: typesTimeoutMs });
    return [];
  } catch (error) {
    return [`the READMEs' examples have wrong types:\n${error.stdout || error.message}`];
  }
};

/** As a person's shell, with the packages' programs on PATH; ends at the first command that fails. */
const shell = (script, cwd, folder) =>
  new Promise((resolve) => {
    const environment = Object.entries(process.env).filter(([name]) => !name.startsWith("OL_"));
    const child = spawn("bash", ["-euo", "pipefail", "-c", script], {
      cwd,
      env: {
        ...Object.fromEntries(environment),
        PATH: `${join(folder, "node_modules/.bin")}:${process.env.PATH}`,
      },
      stdio: ["ignore", "pipe", "pipe"],
      // What an example forgets to end is ended with it.
      detached: true,
    });
    const said = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"])
      child[name].setEncoding("utf8").on("data", (text) => (said[name] += text));
    const end = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch (error) {
        // Nobody of it is left.
        if (error.code !== "ESRCH") throw error;
      }
    };
    const timer = setTimeout(end, commandTimeoutMs);
    child.once("error", (error) => resolve({ code: undefined, stdout: "", stderr: error.message }));
    child.once("exit", () => {
      clearTimeout(timer);
      end();
    });
    child.once("close", (code) => resolve({ code, ...said }));
  });

/** What an example started and left running, since it went wrong in the middle. */
const endClusters = async (place, folder) => {
  for (const name of await readdir(place))
    if (existsSync(join(place, name, "config/cluster.json")))
      await shell(`ol-admin kill --timeout=0 --cluster='${name}'`, place, folder);
};

const follow = async (name, example, place, folder) => {
  for (const command of example.commands) {
    const { code, stdout, stderr } = await shell(command.script, place, folder);
    const said = `${stdout}${stderr}`.slice(-2000);
    if (code !== 0) return [`README of ${name}: its example exits with ${code}: ${said}`];
    const wrong = deviation(command, stdout);
    if (wrong !== undefined) return [`README of ${name}: its example ${wrong}; ${stderr.slice(-2000)}`];
  }
  return [];
};

/** Each README must have one that runs something; returns what is wrong. */
export const tryExamples = async (folder, packed) => {
  const problems = [];
  const examples = [];
  const ports = await otherPorts();
  for (const { pkg } of packed) {
    const text = withPorts(await readFile(join(pkg.directory, "README.md"), "utf8"), ports);
    const example = exampleIn(text);
    const place = join(folder, "examples", pkg.path.replaceAll("/", "-"));
    problems.push(...example.problems.map((problem) => `README of ${pkg.name}: ${problem}`));
    if (example.commands.length === 0) problems.push(`README of ${pkg.name} has no example to follow`);
    await mkdir(place, { recursive: true });
    for (const file of example.files) {
      await mkdir(dirname(join(place, file.path)), { recursive: true });
      await writeFile(join(place, file.path), file.text);
    }
    examples.push({ name: pkg.name, example, place });
  }
  const programs = examples.flatMap(({ example, place }) =>
    example.files.filter(({ path }) => path.endsWith(".ts")).map(({ path }) => join(place, path)),
  );
  problems.push(...(await compile(folder, programs)));
  for (const { name, example, place } of examples) {
    problems.push(...(await follow(name, example, place, folder)));
    await endClusters(place, folder);
  }
  return problems;
};
