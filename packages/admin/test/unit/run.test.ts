import { mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, onTestFinished, test } from "vitest";

import { COMMANDS } from "../../src/commands/index.ts";
import { admin, newCluster, temporaryDirectory } from "../support/harness.ts";

describe("ol-admin", () => {
  test("without a command prints its help to the terminal and exits with 2", async () => {
    const outcome = await admin([], { cwd: temporaryDirectory() });
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    for (const { name } of COMMANDS) expect(outcome.stderr).toContain(`ol-admin ${name}`);
  });

  test.each([["--help"], ["-h"], ["help"]])("%s prints the help as its result", async (token) => {
    const outcome = await admin([token], { cwd: temporaryDirectory() });
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.stdout).toContain("Exit codes: 0 done, 1 failed, 2 wrong usage");
  });

  test.each(COMMANDS.map(({ name }) => name))("%s --help names every option of it", async (name) => {
    const outcome = await admin([name, "--help"], { cwd: temporaryDirectory() });
    expect(outcome.code).toBe(0);
    for (const option of Object.keys(COMMANDS.find((command) => command.name === name)?.options ?? {}))
      expect(outcome.stdout).toContain(`--${option}`);
  });

  test.each(["--version", "-version", "version"])(
    "%s prints our version, not the consumer's",
    async (token) => {
      expect(await admin([token], { cwd: temporaryDirectory() })).toEqual({
        code: 0,
        stdout: "9.9.9\n",
        stderr: "",
      });
    },
  );

  test.each([
    [["stauts"], /did you mean status\?/u],
    [["xyzzy"], /^there is no command "xyzzy"; see: npx ol-admin --help$/mu],
    [["workers", "--port=99999"], /^--port must be a whole number from 1 to 65535, not "99999"$/mu],
    [["workers", "--num-workers=-1"], /^--num-workers must be a whole number/mu],
    [["invoke"], /^invoke needs name/mu],
    [["invoke", "../x"], /^the lambda name "\.\.\/x" may hold only/mu],
    [["logs", "x", "--invocation=short"], /26 characters/u],
    [["worker-exec"], /needs --config=FILE/u],
    [["worker-exec", "--config=nowhere.json"], /there is no file/u],
    [["load-balancer-exec"], /needs --config=FILE/u],
    [["load-balancer-exec", "--config=nowhere.json"], /there is no file/u],
    [["new", "--cluster=c", "--num-workers=0"], /^--num-workers must be a whole number/mu],
    [["new"], /needs --cluster=DIR/u],
    [["status", "c"], /^status does not take "c"; did you mean --cluster=c\?$/mu],
    [["new", "--cluster=c", "--base=docker:"], /an image's name such as python:3\.12-slim, not ""$/mu],
    [["new", "--cluster=c", "--base=docker:x/../y"], /an image's name such as .*, not "x\/\.\.\/y"$/mu],
    [["new", "--cluster=c", "--base=docker:../x"], /an image's name such as .*, not "\.\.\/x"$/mu],
    [["new", "--cluster=c", "--base=debootstrap:../x"], /the name of a release, not "\.\.\/x"$/mu],
    [["setconf", "{"], /^setconf: not valid JSON/mu],
    [["setconf", "[]"], /^setconf: must be a JSON object/mu],
    [
      ["setconf", '{"sandbxo": "sock"}'],
      /^setconf: sandbxo: is not a known key; did you mean "sandbox"\?$/mu,
    ],
  ])("%j is wrong usage: exit code 2, one line, nothing on stdout", async (tokens, message) => {
    const outcome = await admin(tokens, { cwd: temporaryDirectory() });
    expect(outcome).toMatchObject({ code: 2, stdout: "" });
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr.trimEnd()).not.toMatch(/\n|\bat .*:\d+:\d+/u);
  });

  test.each([
    [["-cluster", "c", "list"]],
    [["--cluster=c", "list"]],
    [["list", "-cluster=c"]],
    [["--json", "list", "--cluster", "c"]],
  ])("options may stand before the command: %j", async (tokens) => {
    const { cwd } = await newCluster();
    expect((await admin(tokens, { cwd })).code).toBe(0);
  });

  test.each(COMMANDS.map(({ name }) => name))("%s accepts --cluster", (name) => {
    expect(COMMANDS.find((command) => command.name === name)?.options["cluster"]).toBeDefined();
  });

  test("config lists every key, and --json prints the schema", async () => {
    const cwd = temporaryDirectory();
    expect((await admin(["config"], { cwd })).stdout).toContain("limits.mem_mb (OL_LIMITS_MEM_MB)");
    const schema = JSON.parse((await admin(["config", "--json"], { cwd })).stdout) as {
      additionalProperties: boolean;
    };
    expect(schema.additionalProperties).toBe(false);
  });
});

describe("new", () => {
  test("names a command that a shell reads as it is meant, whatever the directory is called", async () => {
    const cwd = temporaryDirectory();
    const outcome = await admin(["new", "--cluster=it's here"], { cwd });
    expect(outcome.stderr).toContain("npx ol-admin workers --cluster='it'\\''s here'\n");
  });

  test("lets nobody else write to the cluster, whatever the umask", async () => {
    const cwd = temporaryDirectory();
    const before = process.umask(0);
    onTestFinished(() => void process.umask(before));
    await admin(["new", "--cluster=c"], { cwd });
    for (const path of [
      "c",
      ...readdirSync(join(cwd, "c"), { recursive: true }).map((name) => `c/${String(name)}`),
    ])
      expect(`${path} ${statSync(join(cwd, path)).mode & 0o022}`).toBe(`${path} 0`);
  });

  test("makes the whole directory, the identity for its owner only", async () => {
    const cwd = temporaryDirectory();
    const outcome = await admin(["new", "-cluster", "c"], { cwd });
    expect(outcome).toMatchObject({ code: 0, stdout: `${join(cwd, "c")}\n` });
    expect(readdirSync(join(cwd, "c")).sort()).toEqual([
      "base",
      "config",
      "logs",
      "packages",
      "registry",
      "workers",
    ]);
    expect(statSync(join(cwd, "c/config/cluster.json")).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(join(cwd, "c/config/template.json"), "utf8"))).toMatchObject({
      network: "host",
    });
    expect(readdirSync(cwd)).toEqual(["c"]);
  });

  test("makes another id each time", async () => {
    const cwd = temporaryDirectory();
    const ids = new Set<unknown>();
    for (const name of ["a", "b", "d"]) {
      await admin(["new", `--cluster=${name}`], { cwd });
      ids.add(
        (JSON.parse(readFileSync(join(cwd, name, "config/cluster.json"), "utf8")) as { id: string }).id,
      );
    }
    expect(ids.size).toBe(3);
  });

  test.each<[string, (cwd: string) => void]>([
    ["a directory", (cwd) => mkdirSync(join(cwd, "c"))],
    ["a file", (cwd) => writeFileSync(join(cwd, "c"), "x")],
    ["a dangling link", (cwd) => symlinkSync("nowhere", join(cwd, "c"))],
  ])("refuses a path where %s is, and changes nothing", async (_name, make) => {
    const cwd = temporaryDirectory();
    make(cwd);
    const outcome = await admin(["new", "--cluster=c"], { cwd });
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(/^"[^\n]*\/c" exists already; [^\n]+\n$/u);
    expect(readdirSync(cwd)).toEqual(["c"]);
  });

  test("refuses a path whose parent is missing, and does not make it", async () => {
    const cwd = temporaryDirectory();
    const outcome = await admin(["new", "--cluster=a/b"], { cwd });
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain("is no directory");
    expect(readdirSync(cwd)).toEqual([]);
  });

  test("in a directory that cannot be written says why in one line", async () => {
    const outcome = await admin(["new", "--cluster=/proc/c"], { cwd: temporaryDirectory() });
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(/^cannot make "\/proc\/c": there is none \(ENOENT\)\n$/u);
  });
});

const list = async (where: string, tokens: string[], environment = {}): Promise<number> =>
  (await admin(["list", ...tokens], { cwd: where, environment })).code;

describe("the cluster that is meant", () => {
  test("is named, else $OL_CLUSTER, else where we are, else the only child", async () => {
    const { cwd, cluster } = await newCluster();
    expect(await list("/", [`--cluster=${cluster}`])).toBe(0);
    expect(await list("/", [], { OL_CLUSTER: cluster })).toBe(0);
    expect(await list(cluster, [])).toBe(0);
    expect(await list(cwd, [])).toBe(0);
    expect(await list(cwd, [], { OL_CLUSTER: "nowhere" })).toBe(2);
    expect(await list(cwd, ["--cluster=nowhere"])).toBe(2);
    expect(await list(temporaryDirectory(), [])).toBe(2);
  });

  test("has to be named where several are", async () => {
    const { cwd } = await newCluster();
    await admin(["new", "--cluster=d"], { cwd });
    const outcome = await admin(["list"], { cwd });
    expect(outcome.code).toBe(2);
    expect(outcome.stderr).toMatch(/^several clusters are here; name one: --cluster=c or --cluster=d\n$/u);
  });
});

describe("setconf", () => {
  test("merges into the template", async () => {
    const { cwd, cluster } = await newCluster();
    const outcome = await admin(["setconf", "--cluster=c", '{"worker_slots": 3, "registry": "local"}'], {
      cwd,
    });
    expect(outcome.code).toBe(0);
    expect(JSON.parse(readFileSync(join(cluster, "config/template.json"), "utf8"))).toMatchObject({
      worker_slots: 3,
      sandbox: "sock",
    });
  });

  test("names every mistake and writes nothing", async () => {
    const { cwd, cluster } = await newCluster();
    const before = readFileSync(join(cluster, "config/template.json"), "utf8");
    const outcome = await admin(["setconf", '{"worker_slots": "x", "limits": {"mem": 3}, "trace": true}'], {
      cwd,
    });
    expect(outcome.code).toBe(2);
    expect(outcome.stderr.trimEnd().split("\n")).toHaveLength(3);
    expect(readFileSync(join(cluster, "config/template.json"), "utf8")).toBe(before);
  });
});

describe("list and remove", () => {
  test("show the lambdas of the registry and nothing else, and delete one of them", async () => {
    const { cwd, cluster } = await newCluster();
    for (const name of ["b", "a", ".hidden"]) mkdirSync(join(cluster, "registry", name));
    writeFileSync(join(cluster, "registry/a/f.py"), "");
    writeFileSync(join(cluster, "registry/notes.txt"), "");
    const listed = JSON.parse((await admin(["list", "--json"], { cwd })).stdout) as {
      name: string;
      entry?: string;
    }[];
    expect(listed.map(({ name, entry }) => [name, entry])).toEqual([
      ["a", "f.py"],
      ["b", undefined],
    ]);
    expect((await admin(["remove", "a"], { cwd })).code).toBe(0);
    expect(readdirSync(join(cluster, "registry")).sort()).toEqual([".hidden", "b", "notes.txt"]);
    expect((await admin(["remove", "a"], { cwd })).code).toBe(1);
    expect((await admin(["remove", "../config"], { cwd })).code).toBe(2);
    expect(readdirSync(join(cluster, "config"))).toContain("template.json");
  });

  test("remove a link, not what it leads to", async () => {
    const { cwd, cluster } = await newCluster();
    const elsewhere = temporaryDirectory();
    writeFileSync(join(elsewhere, "f.py"), "");
    symlinkSync(elsewhere, join(cluster, "registry", "linked"));
    expect((await admin(["remove", "linked"], { cwd })).code).toBe(0);
    expect(readdirSync(elsewhere)).toEqual(["f.py"]);
  });
});

describe("doctor", () => {
  test("prints what ol-worker found, harmlessly, and exits with 1 if anything is wrong", async () => {
    const cwd = temporaryDirectory();
    const good = await admin(["doctor"], { cwd });
    expect(good.code).toBe(0);
    expect(good.stdout).toMatch(/^ok {4}node .*20|2\d\./mu);
    expect(good.stdout).toContain("one was made\\x1b[31m");
    expect(good.stdout).toContain("note  a note");
    // What a worker can do without is no failure.
    expect(good.stdout).toMatch(/^-- {4}network outbound +there is no nft$/mu);
    const bad = await admin(["doctor"], { cwd, environment: { FAKE_WORKER: "no-python" } });
    expect(bad.code).toBe(1);
    expect(bad.stdout).toMatch(/^FAIL {2}python/mu);
    const json = JSON.parse((await admin(["doctor", "--json"], { cwd })).stdout) as { checks: unknown[] };
    expect(json.checks.length).toBeGreaterThan(2);
  });

  test("of a cluster looks at what its next worker will be made from, whatever the last one was", async () => {
    const { cwd, cluster } = await newCluster();
    const template = /^ok {4}configuration +[^\n]*\/c\/config\/template\.json$/mu;
    expect((await admin(["doctor", "--cluster=c"], { cwd })).stdout).toMatch(template);
    writeFileSync(join(cluster, "config/worker-0.json"), "{}");
    expect((await admin(["doctor", "--cluster=c"], { cwd })).stdout).toMatch(template);
  });
});
