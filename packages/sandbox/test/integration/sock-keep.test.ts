import { execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  type Stats,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import path from "node:path";

import { afterAll, describe, expect, it } from "vitest";

import type { KeepOrder, KeepOutcome } from "../../src/index.ts";
import { type Account, accounts, forgetAccounts } from "../support/accounts.ts";
import type { ChaosWorker } from "../support/chaos-worker.ts";
import { TestCluster, eventually } from "../support/cluster.ts";
import { descendantsOf, identityLives } from "../support/leftovers.ts";

type Step = readonly [what: string, path: string, ...rest: (string | number)[]];

const PYTHON = "3.11-x86_64";
/** Files of a package that takes a moment. */
const COUNT = 300;
const FILE: Step = ["file", "one/a.py"];

afterAll(forgetAccounts);

/** A sandbox engine with a directory for packages, and what lies in that. */
class Shelf {
  readonly directory: string;
  readonly #cluster: TestCluster;

  constructor(cluster: TestCluster, directory = path.join(cluster.directory, "packages")) {
    this.#cluster = cluster;
    this.directory = directory;
  }

  start(options: object = {}, wrapper?: readonly string[]): Promise<ChaosWorker> {
    const engine = { packagesDir: this.directory, ...options };
    return this.#cluster.start({ engine, ...(wrapper !== undefined && { wrapper }) });
  }

  /** The names that anything of a Python has. */
  names(): string[] {
    const place = path.join(this.directory, PYTHON);
    return existsSync(place) ? readdirSync(place).sort() : [];
  }

  stat(name: string): Stats {
    return lstatSync(path.join(this.directory, PYTHON, name));
  }
}

const make = async (worker: ChaosWorker, steps: readonly Step[]): Promise<string> => {
  const limits = { memoryMb: 200, scratchMb: 300, procs: 30 };
  const sandbox = await worker.hold({ handler: "keep", scratchOnDisk: true, ready: true, limits });
  expect(await worker.ask("callHeld", { sandbox, event: steps, timeoutMs: 60_000 })).toBe("made");
  return sandbox;
};

const keep = async (
  worker: ChaosWorker,
  steps: readonly Step[],
  orders: readonly KeepOrder[],
): Promise<readonly KeepOutcome[]> =>
  (await worker.ask("keepHeld", { sandbox: await make(worker, steps), orders })) as readonly KeepOutcome[];

const order = (source: string, merge = false): KeepOrder => ({
  source: `out/${source}`,
  target: `${PYTHON}/${source}`,
  merge,
});

const REFUSED: readonly (readonly [what: string, steps: readonly Step[], reason: RegExp])[] = [
  [
    "a link to a file of the host",
    [FILE, ["link", "one/b", "/etc/passwd"]],
    /neither a file nor a directory: 'b'/,
  ],
  ["a link within it", [FILE, ["link", "one/b", "a.py"]], /neither a file nor a directory: 'b'/],
  ["a link to a directory", [FILE, ["link", "one/d", "/"]], /neither a file nor a directory: 'd'/],
  ["a FIFO", [FILE, ["fifo", "one/pipe"]], /neither a file nor a directory: 'pipe'/],
  ["a socket", [FILE, ["socket", "one/s"]], /neither a file nor a directory: 's'/],
  ["directories without end", [["deep", "one", 500]], /more than 60 deep/],
  ["nothing", [["directory", "one", 0o755]], /it is empty/],
];

describe.each(await accounts())("what a sandbox leaves to be kept, as $name", (account: Account) => {
  it("becomes plain, and is there for others, each on its own", async () => {
    await using cluster = await TestCluster.create(account);
    const shelf = new Shelf(cluster);
    await using worker = await shelf.start();
    const steps: readonly Step[] = [
      ["file", "one/a.py", 3, 0o666],
      ["file", "one/run", 1, 0o4777],
      ["file", "one/below/c.so", 1, 0o600],
      ["directory", "one/closed", 0o000],
      ["directory", "one/sticky", 0o3777],
      ["file", "two/a.py"],
    ];
    const outcomes = await keep(worker, steps, [order("one"), order("three"), order("two")]);
    expect(outcomes).toEqual([
      { kind: "kept" },
      { kind: "failed", reason: expect.stringMatching(/No such file/) },
      { kind: "kept" },
    ]);
    expect(shelf.names()).toEqual(["one", "two"]);
    const owner = statSync(shelf.directory).uid;
    const modes = { "one/a.py": 0o644, "one/run": 0o755, "one/below/c.so": 0o644 };
    for (const [name, mode] of Object.entries({
      ...modes,
      one: 0o755,
      "one/closed": 0o755,
      "one/sticky": 0o755,
    })) {
      const found = shelf.stat(name);
      expect([name, found.mode & 0o7777, found.uid]).toEqual([name, mode, owner]);
    }
  });

  it.each(REFUSED)(
    "is refused as a whole if it has %s, and what is beside it is kept",
    async (_what, steps, reason) => {
      await using cluster = await TestCluster.create(account);
      const shelf = new Shelf(cluster);
      await using worker = await shelf.start();
      const outcomes = await keep(worker, [...steps, ["file", "fine/a.py"]], [order("one"), order("fine")]);
      expect(outcomes).toEqual([
        { kind: "refused", reason: expect.stringMatching(reason) },
        { kind: "kept" },
      ]);
      expect(shelf.names()).toEqual(["fine"]);
      // What was refused is gone with the rest of its sandbox.
      expect(await eventually(() => cluster.leftovers(worker).length === 0)).toBe(true);
    },
  );

  it("changes nothing of what is there, and adds to it only what it has not", async () => {
    await using cluster = await TestCluster.create(account);
    const shelf = new Shelf(cluster);
    await using worker = await shelf.start();
    expect(await keep(worker, [FILE], [order("one")])).toEqual([{ kind: "kept" }]);
    const other: readonly Step[] = [
      ["file", "one/a.py", 100],
      ["file", "one/__pycache__/a.pyc", 10],
    ];
    expect(await keep(worker, other, [order("one")])).toEqual([{ kind: "exists" }]);
    expect(shelf.stat("one/a.py").size).toBe(1);
    expect(await keep(worker, other, [order("one", true)])).toEqual([{ kind: "kept" }]);
    expect([shelf.stat("one/a.py").size, shelf.stat("one/__pycache__/a.pyc").size]).toEqual([1, 10]);
    const link: readonly Step[] = [FILE, ["link", "one/l", "/etc/passwd"]];
    expect(await keep(worker, link, [order("one", true)])).toMatchObject([{ kind: "refused" }]);
    expect(readdirSync(path.join(shelf.directory, PYTHON, "one")).sort()).toEqual(["__pycache__", "a.py"]);
  });

  it("cannot be put anywhere but among the packages, nor taken from elsewhere", async () => {
    await using cluster = await TestCluster.create(account);
    const shelf = new Shelf(cluster);
    await using worker = await shelf.start();
    const sandbox = await make(worker, [FILE, ["link", "two", "/etc"]]);
    for (const wrong of ["../one", "/etc", "out/../../x", ""])
      for (const orders of [[{ source: wrong, target: "a/b" }], [{ source: "out/one", target: wrong }]])
        await expect(worker.ask("keepHeld", { sandbox, orders })).rejects.toMatchObject({
          code: "OL_SANDBOX_BAD_OPTIONS",
        });
    mkdirSync(path.join(shelf.directory, "here"));
    symlinkSync(cluster.directory, path.join(shelf.directory, "here", "out"));
    const orders = [
      { source: "out/two", target: `${PYTHON}/two` },
      { source: "out/one", target: "here/out/one" },
    ];
    expect(await worker.ask("keepHeld", { sandbox, orders })).toMatchObject([
      { kind: "failed" },
      { kind: "failed" },
    ]);
    expect([shelf.names(), existsSync(path.join(cluster.directory, "one"))]).toEqual([[], false]);
  });

  it("is on disk also where scratch is in memory, if it is to be kept", async () => {
    await using cluster = await TestCluster.create(account);
    const shelf = new Shelf(cluster);
    await using worker = await shelf.start({ scratch: "memory" });
    expect(await keep(worker, [FILE], [order("one")])).toEqual([{ kind: "kept" }]);
    const sandbox = await worker.hold({ handler: "keep", ready: true });
    await expect(worker.ask("keepHeld", { sandbox, orders: [order("one")] })).rejects.toMatchObject({
      code: "OL_SANDBOX_DESTROYED",
    });
  });

  it("on another file system is copied as a whole, or as far as there is room not at all", async () => {
    await using cluster = await TestCluster.create(account);
    const shelf = new Shelf(cluster);
    mkdirSync(shelf.directory);
    if (account.uid !== undefined) execFileSync("chown", [`${account.uid}`, shelf.directory]);
    const script = 'mount -t tmpfs -o size=3m,mode=755 small "$0" && exec "$@"';
    const rights = account.name === "root" ? ["-m"] : ["-Urm"];
    await using worker = await shelf.start({}, ["unshare", ...rights, "sh", "-c", script, shelf.directory]);
    const large: Step = ["file", "large/a.so", 5 * 1024 * 1024];
    expect(await keep(worker, [FILE, large], [order("large"), order("one")])).toEqual([
      { kind: "failed", reason: expect.stringMatching(/No space left/) },
      { kind: "kept" },
    ]);
    const seen = path.join(`/proc/${worker.brokerPid}/root`, shelf.directory, PYTHON);
    expect(readdirSync(seen)).toEqual(["one"]);
    expect(await keep(worker, [["file", "one/b.pyc"]], [order("one", true)])).toEqual([{ kind: "kept" }]);
    expect(readdirSync(path.join(seen, "one")).sort()).toEqual(["a.py", "b.pyc"]);
    expect(lstatSync(path.join(seen, "one/b.pyc")).uid).toBe(lstatSync(path.join(seen, "..")).uid);
  });

  it.each(["the same", "another"])(
    "of a broker that is killed meanwhile is there as a whole or not at all, on %s file system",
    async (which) => {
      await using cluster = await TestCluster.create(account);
      const elsewhere = mkdtempSync("/dev/shm/ol-keep-");
      try {
        if (account.uid !== undefined) execFileSync("chown", [`${account.uid}`, elsewhere]);
        const shelf = new Shelf(cluster, which === "another" ? elsewhere : undefined);
        const names = ["one", "two", "three"];
        const steps = names.map((name): Step => ["many", name, COUNT]);
        for (const afterMs of [0, 20, 80]) {
          await using worker = await shelf.start();
          const sandbox = await make(worker, steps);
          const kept = worker.ask("keepHeld", { sandbox, orders: names.map((name) => order(name)) });
          kept.catch(() => undefined);
          await new Promise((resolve) => setTimeout(resolve, afterMs));
          const below = descendantsOf(worker.brokerPid);
          process.kill(worker.brokerPid, "SIGKILL");
          expect(await eventually(() => !below.some(identityLives))).toBe(true);
          await worker.kill();
          for (const name of shelf.names().filter((name) => !name.startsWith("."))) {
            const found = readdirSync(path.join(shelf.directory, PYTHON, name), { recursive: true });
            expect(found.filter((file) => String(file).endsWith(".py"))).toHaveLength(COUNT);
            rmSync(path.join(shelf.directory, PYTHON, name), { recursive: true });
          }
        }
        await using last = await shelf.start();
        expect(shelf.names()).toEqual([]);
        expect(await keep(last, [FILE], [order("one")])).toEqual([{ kind: "kept" }]);
      } finally {
        rmSync(elsewhere, { recursive: true, force: true });
      }
    },
  );

  it("and was not finished is removed at the next start, unless somebody is at it", async () => {
    await using cluster = await TestCluster.create(account);
    const shelf = new Shelf(cluster);
    await using first = await shelf.start();
    expect(await keep(first, [FILE], [order("one")])).toEqual([{ kind: "kept" }]);
    await first.close();
    const place = path.join(shelf.directory, PYTHON);
    const own = account.uid === undefined ? [] : [`--reuid=${account.uid}`];
    for (const name of [".dead.0123", ".alive.0123"])
      execFileSync("setpriv", [...own, "mkdir", "-p", path.join(place, name, "d")]);
    const holder = `exec 9< "$0/.alive.0123" && flock 9 && echo locked && read _`;
    const child = spawn("sh", ["-c", holder, place], { stdio: ["pipe", "pipe", "inherit"] });
    await new Promise((resolve) => child.stdout.once("data", resolve));
    await using second = await shelf.start();
    expect(shelf.names()).toEqual([".alive.0123", "one"]);
    child.stdin.end();
    await new Promise((resolve) => child.once("exit", resolve));
    await second.close();
    await using third = await shelf.start();
    expect(shelf.names()).toEqual(["one"]);
    await third.close();
  });
});
