import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { chmod, copyFile, mkdir, mkdtemp, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { inspectBase, inspectHost } from "../../src/index.ts";
import { SockEngine } from "../../src/sock/engine.ts";
import { findPython } from "../../src/sock/python.ts";
import {
  CONFORMANCE_CASES,
  CONFORMANCE_HANDLERS_DIR,
  CONFORMANCE_PACKAGES_DIR,
  CONFORMANCE_ZYGOTE_CASES,
  runConformanceCase,
} from "../../src/testing/index.ts";
import { type Account, accounts, forgetAccounts } from "../support/accounts.ts";
import { MARKER, makeBase } from "../support/base.ts";
import { TestCluster, removeAll } from "../support/cluster.ts";
import { SLOWNESS, scaled } from "../support/scale.ts";

const SECRET = "of this machine\n";

let directory: string;
/** One that works, with links that lead out of it. */
let base: string;

/** Each path in a sandbox where a link of the base leads to the secret, if it is followed on the host. */
const LEAKS = [
  "/etc/ssl/token",
  "/etc/pki/token",
  "/etc/mime.types",
  "/etc/services",
  "/opt/token",
  "/usr/share/leak/token",
];

const addLinks = async (): Promise<void> => {
  const secret = path.join(directory, "secret");
  await mkdir(secret);
  await writeFile(path.join(secret, "token"), SECRET);
  await mkdir(path.join(base, "etc"));
  await symlink(secret, path.join(base, "etc/ssl"));
  await symlink("../../secret", path.join(base, "etc/pki"));
  await symlink(path.join(secret, "token"), path.join(base, "etc/mime.types"));
  await symlink("../../secret/token", path.join(base, "etc/services"));
  await symlink(secret, path.join(base, "opt"));
  await symlink(secret, path.join(base, "usr/share/leak"));
  // Within the base, and only there.
  await symlink("/usr/share/ol-marker", path.join(base, "etc/protocols"));
  await writeFile(path.join(base, "etc/hosts"), MARKER);
};

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "ol-base-"));
  await chmod(directory, 0o755);
  base = path.join(directory, "base");
  await mkdir(base);
  await makeBase(base);
  await addLinks();
});

afterAll(async () => {
  await forgetAccounts();
  removeAll(directory);
});

interface Answer {
  readonly version: string;
  readonly seen: Readonly<Record<string, string | readonly string[]>>;
}

/** What a sandbox on a base sees at these paths. */
const look = async (account: Account, baseDir: string, paths: readonly string[]): Promise<Answer> => {
  await using cluster = await TestCluster.create(account);
  await using worker = await cluster.start({ engine: { baseDir } });
  return (await worker.call({ handler: "look", event: paths })) as Answer;
};

describe.each(await accounts())("a base of its own, with a worker run as $name", (account: Account) => {
  it("is what a sandbox sees instead of this machine's, with the Python that is in it", async () => {
    const { version, seen } = await look(account, base, [
      "/usr/share/ol-marker",
      "/usr/share",
      "/etc/protocols",
    ]);
    expect(version).toBe((await findPython()).version);
    expect(seen).toEqual({
      "/usr/share/ol-marker": MARKER,
      "/usr/share": ["leak", "ol-marker"],
      "/etc/protocols": MARKER,
    });
  });

  it("gets users, name servers and hosts from the engine and this machine", async () => {
    const { seen } = await look(account, base, ["/etc/hosts", "/etc/passwd"]);
    expect(seen["/etc/hosts"]).toBe(readFileSync("/etc/hosts", "utf8"));
    expect(seen["/etc/passwd"]).toContain("sandbox:x:1000");
  });

  it("shows nothing of this machine by links that lead out of it", async () => {
    // The control: whoever follows them here finds what they lead to.
    for (const leak of LEAKS) expect(readFileSync(path.join(base, leak), "utf8")).toBe(SECRET);
    const { seen } = await look(account, base, LEAKS);
    expect(seen).toEqual(Object.fromEntries(LEAKS.map((leak) => [leak, "FileNotFoundError"])));
  });
});

/** A program for another machine, as far as anybody reads it before running it. */
const forArm64 = (): Buffer => {
  const header = Buffer.alloc(64);
  header.write("\u007FELF\u0002\u0001\u0001", "latin1");
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(183, 18);
  return header;
};

const withProgram = async (root: string, put: (file: string) => Promise<void>): Promise<void> => {
  await mkdir(path.join(root, "usr/bin"), { recursive: true });
  const file = path.join(root, "usr/bin/python3");
  await put(file);
  await chmod(file, 0o755);
};

const UNFIT: readonly (readonly [string, RegExp, (root: string) => Promise<unknown>])[] = [
  ["that is not there", /cannot be opened \(No such file or directory\)$/u, async () => undefined],
  ["that is a file", /cannot be opened \(Not a directory\)$/u, (root) => writeFile(root, "")],
  ["that is empty", /has nothing in it$/u, (root) => mkdir(root)],
  ["that is this machine's root", /is this machine's own root directory; /u, (root) => symlink("/", root)],
  [
    "without a Python",
    /has no \/usr\/local\/bin\/python3 or \/usr\/bin\/python3; /u,
    (root) => mkdir(path.join(root, "usr"), { recursive: true }),
  ],
  [
    "of another machine",
    /python3 cannot be started: it is no program for this machine \(x86_64\)$/u,
    (root) => withProgram(root, (file) => writeFile(file, forArm64())),
  ],
  [
    "whose Python lacks its loader",
    /python3 cannot be started: [^\n]* its loader \(ld-linux\) is not there$/u,
    (root) => withProgram(root, async (file) => copyFile((await findPython()).path, file)),
  ],
];

describe("a base", () => {
  it.each(UNFIT)("%s is refused at the start, and doctor says why", async (name, message, make) => {
    const baseDir = path.join(directory, name.replaceAll(" ", "-"));
    await make(baseDir);
    await expect(makeEngine({ baseDir })).rejects.toMatchObject({
      code: "OL_SANDBOX_BAD_BASE",
      message: expect.stringMatching(message) as string,
    });
    const { checks } = await inspectHost({ baseDir });
    expect(checks.at(-1)).toMatchObject({ name: "base", ok: false });
    expect(checks.at(-1)?.detail).toMatch(message);
  });

  it("that works is named by doctor, with its Python", async () => {
    const { version } = await findPython();
    const { checks } = await inspectHost({ baseDir: base });
    expect(checks).toContainEqual({ name: "base", ok: true, detail: `${base}, Python ${version}` });
    expect(checks.at(-1)).toMatchObject({ name: "sandbox", ok: true });
    const own = (await inspectHost()).checks.find(({ name }) => name === "base");
    expect(own).toEqual({ name: "base", ok: true, detail: `this machine's own /usr, Python ${version}` });
  });
});

/** A copy whose files are the same ones. */
const copyOf = (name: string): string => {
  const copy = path.join(directory, name);
  execFileSync("cp", ["-al", base, copy]);
  return copy;
};

describe("the look at a base", () => {
  it("tells its Python, its system and what lambdas have to do without", async () => {
    const { checks, facts } = await inspectBase({ baseDir: base });
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
    expect(facts).toMatchObject({
      python: (await findPython()).version,
      implementation: "CPython",
      machine: "x86_64",
      system: "",
      seccomp: true,
      lacking: { "time zones": expect.stringContaining("tzdata") as string },
    });
    const better = copyOf("better");
    await mkdir(path.join(better, "usr/share/zoneinfo/Europe"), { recursive: true });
    await writeFile(path.join(better, "usr/share/zoneinfo/Europe/Paris"), "");
    await mkdir(path.join(better, "usr/lib"), { recursive: true });
    await writeFile(path.join(better, "usr/lib/os-release"), 'NAME=x\nPRETTY_NAME="A system 1"\n');
    const second = await inspectBase({ baseDir: better });
    expect(second.facts).toMatchObject({ system: "A system 1" });
    expect(second.facts?.lacking).not.toHaveProperty("time zones");
  });

  it("finds that its Python starts, and cannot run what everybody's can", async () => {
    const broken = copyOf("broken");
    execFileSync("find", [broken, "-name", "glob*", "-path", "*lib/python3*", "-delete"]);
    const { checks, facts } = await inspectBase({ baseDir: broken });
    expect(facts).toBeUndefined();
    expect(checks.at(-1)).toMatchObject({ name: "sandbox", ok: false });
    expect(checks.at(-1)?.detail).toBe(
      "one was made, but the look at the base failed in it: ModuleNotFoundError: No module named 'glob'",
    );
  });

  it("says why sandboxes cannot run on it at all", async () => {
    const report = await inspectBase({ baseDir: path.join(directory, "nothing") });
    expect(report).toEqual({
      checks: [{ name: "base", ok: false, detail: expect.stringMatching(/cannot be opened/u) as string }],
    });
  });
});

const makeEngine = (options: { readonly baseDir?: string } = {}): Promise<SockEngine> =>
  SockEngine.create({
    clusterId: path
      .basename(directory)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]/g, "")
      .slice(-8),
    workerName: "worker-0",
    workDir: path.join(directory, "work"),
    codeDir: CONFORMANCE_HANDLERS_DIR,
    packagesDir: CONFORMANCE_PACKAGES_DIR,
    baseDir: base,
    networks: ["none"],
    ...options,
  });

// The base is nearly the same to all of them: every fourth shows that it is one, and a soak runs all.
const CASES = [...CONFORMANCE_CASES, ...CONFORMANCE_ZYGOTE_CASES].filter((_, at) => at % scaled(4, 1) === 0);

describe("the sock engine on a base of its own", () => {
  it.each(CASES)("behaves as on this machine's: $title", async (each) => {
    await expect(runConformanceCase(each, makeEngine, SLOWNESS)).resolves.toBeUndefined();
  });
});
