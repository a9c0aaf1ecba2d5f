import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";

import { isPortFree } from "@ol/common";
import { describe, expect, onTestFinished, test } from "vitest";

import { lockCluster } from "../../src/cluster/lock.ts";
import { identityOf, isAlive, parseStat } from "../../src/process/identity.ts";
import { parsePidFile, readPidFile, writePidFile } from "../../src/process/pid-file.ts";
import { listeningInodes, portHolder } from "../../src/process/port.ts";
import { parseStatus } from "../../src/process/status.ts";
import { stopProcess } from "../../src/process/stop.ts";
import { type Situation, planStarts, workerConfigFor } from "../../src/worker/plan.ts";
import type { Worker, WorkerState } from "../../src/worker/list.ts";
import { temporaryDirectory } from "../support/harness.ts";

const sleeper = async (script: string): Promise<number> => {
  const child = spawn(process.execPath, ["-e", `${script}; console.log("up"); setInterval(() => {}, 1000)`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  return child.pid as number;
};

describe("a process's identity", () => {
  test("is read past a name with parentheses and blanks", () => {
    const fields = ["S", ...Array.from({ length: 18 }, (_, i) => String(i)), "4711", "9"];
    expect(parseStat(`12 (a) (b) R 1 2) ${fields.join(" ")}`)).toEqual({ ended: false, startTime: "4711" });
    expect(parseStat(`12 (x) Z ${fields.slice(1).join(" ")}`).ended).toBe(true);
  });

  test("is alive only with the same start and the same boot", () => {
    const own = identityOf(process.pid);
    if (own === undefined) throw new Error("this process has no identity");
    expect(isAlive(own)).toBe(true);
    expect(isAlive({ ...own, startTime: "1" })).toBe(false);
    expect(isAlive({ ...own, bootId: "00000000-0000-0000-0000-000000000000" })).toBe(false);
    expect(identityOf(4_194_305)).toBeUndefined();
  });
});

describe("a pid file", () => {
  test("has three lines and is read back", () => {
    const file = join(temporaryDirectory(), "w.pid");
    const own = identityOf(process.pid);
    if (own === undefined) throw new Error("this process has no identity");
    writePidFile(file, own);
    expect(readFileSync(file, "utf8").split("\n")).toEqual([String(own.pid), own.startTime, own.bootId, ""]);
    expect(readPidFile(file)).toEqual(own);
    expect(readdirSync(join(file, ".."))).toEqual(["w.pid"]);
    expect(readPidFile(`${file}x`)).toBeUndefined();
  });

  test.each([
    "",
    "1\n5\n0",
    "0\n5\nx",
    "-1\n5\nx",
    "123\n",
    "9999999\n1\n074830a7-11a8-40c2-afd1-0995372943be",
    "abc",
  ])("%j names no process", (text) => {
    expect(parsePidFile(text)).toBeUndefined();
    const file = join(temporaryDirectory(), "w.pid");
    writeFileSync(file, text);
    expect(readPidFile(file)).toBe("unreadable");
  });
});

describe("stopping a process", () => {
  test("waits for its end", async () => {
    const identity = identityOf(
      await sleeper("process.on('SIGTERM', () => setTimeout(() => process.exit(0), 200))"),
    );
    if (identity === undefined) throw new Error("it did not start");
    const start = performance.now();
    expect(await stopProcess(identity, 5000)).toBe("ended");
    expect(performance.now() - start).toBeGreaterThan(150);
    expect(await stopProcess(identity, 5000)).toBe("was-gone");
  });

  test("kills it if it does not end in time", async () => {
    const identity = identityOf(await sleeper("process.on('SIGTERM', () => {})"));
    if (identity === undefined) throw new Error("it did not start");
    expect(await stopProcess(identity, 100)).toBe("killed");
    expect(isAlive(identity)).toBe(false);
  });

  test("leaves a stranger with the same pid alone", async () => {
    const identity = identityOf(await sleeper(""));
    if (identity === undefined) throw new Error("it did not start");
    expect(await stopProcess({ ...identity, startTime: "1" }, 100)).toBe("was-gone");
    expect(isAlive(identity)).toBe(true);
  });
});

describe("a port in use", () => {
  test("is noticed, and its holder named", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    expect(await isPortFree(["127.0.0.1", "::1"], port)).toBe(false);
    expect(portHolder(port)).toContain(`(process ${process.pid})`);
    expect(await isPortFree(["192.0.2.1"], port)).toBe(true);
  });

  test("is found among listening sockets only", () => {
    const table = [
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
      "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1",
      "   1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1",
      "   2: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1",
    ].join("\n");
    expect(listeningInodes(table, 8080)).toEqual(["111"]);
    expect(listeningInodes(table, 80)).toEqual(["333"]);
    expect(listeningInodes(table, 81)).toEqual([]);
  });
});

const freshId = (): string => Math.random().toString(36).slice(2, 10).padEnd(8, "x");

describe("the cluster's lock", () => {
  test("is held by one at a time; who waits hears what the holder does and gets it afterwards", async () => {
    const id = freshId();
    const first = await lockCluster(id, "kill");
    const heard: string[] = [];
    let got = false;
    const second = lockCluster(id, "workers", {
      waiting: (what) => {
        heard.push(what);
        void first.release();
      },
    }).then((lock) => {
      got = true;
      return lock;
    });
    expect(got).toBe(false);
    await (await second).release();
    expect(heard).toEqual([`kill (process ${process.pid})`]);
  });

  test("ends with a process that is killed, so there is never a stale one", async () => {
    const id = freshId();
    const script = `require("net").createServer(s => s.write("kill (process " + process.pid + ")")).listen("\\0ol-${id}-admin", () => console.log("held"))`;
    const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    const lock = await lockCluster(id, "workers", {
      waiting: () => void child.kill("SIGKILL"),
      deadlineMs: 8000,
    });
    await lock.release();
    expect(child.killed).toBe(true);
  });

  test("is given up after the deadline with the holder's name", async () => {
    const id = freshId();
    await using _held = await lockCluster(id, "gc");
    await expect(lockCluster(id, "kill", { deadlineMs: 100 })).rejects.toMatchObject({
      code: "OL_ADMIN_BUSY",
      message: expect.stringContaining("gc (process") as string,
    });
  });

  test("of two clusters do not meet", async () => {
    await using _one = await lockCluster(freshId(), "a");
    await using two = await lockCluster(freshId(), "b", { deadlineMs: 100 });
    expect(two).toBeDefined();
  });

  test("many who want it at once get it one after the other", async () => {
    const id = freshId();
    let inside = 0;
    let most = 0;
    const one = async (): Promise<void> => {
      await using _lock = await lockCluster(id, "x");
      inside += 1;
      most = Math.max(most, inside);
      await new Promise(setImmediate);
      inside -= 1;
    };
    await Promise.all(Array.from({ length: 20 }, one));
    expect(most).toBe(1);
  });
});

const worker = (index: number, state: WorkerState): Worker => ({
  index,
  name: `worker-${index}`,
  state,
  configFile: "",
  pidFile: "",
  configured: true,
  process: undefined,
});

const plan = (states: readonly WorkerState[], more: Partial<Situation> = {}): readonly [number, number][] => {
  const workers = states.map((state, index) => worker(index, state));
  const ports = new Map(
    workers.filter(({ state }) => state !== "stopped").map(({ index }) => [index, 8080 + index]),
  );
  const starts = planStarts({ workers, ports, count: 1, port: undefined, defaultPort: 8080, ...more });
  return starts.map(({ index, port }) => [index, port]);
};

describe("which workers are started", () => {
  test.each<[string, readonly WorkerState[], Partial<Situation>, readonly [number, number][]]>([
    ["the first", [], {}, [[0, 8080]]],
    [
      "three, ports counting up",
      [],
      { count: 3 },
      [
        [0, 8080],
        [1, 8081],
        [2, 8082],
      ],
    ],
    ["one after those that run", ["running", "running"], {}, [[2, 8082]]],
    ["on a given port", ["running"], { port: 9000 }, [[1, 9000]]],
    [
      "around our own ports",
      ["running", "running"],
      { port: 8080, count: 2 },
      [
        [2, 8082],
        [3, 8083],
      ],
    ],
    ["the dead one on its old port", ["running", "dead"], {}, [[1, 8081]]],
    [
      "the dead ones and then new ones",
      ["dead", "running"],
      { count: 2 },
      [
        [0, 8080],
        [2, 8082],
      ],
    ],
    [
      "all dead ones even if fewer are asked for",
      ["dead", "dead"],
      {},
      [
        [0, 8080],
        [1, 8081],
      ],
    ],
    ["from the beginning after a kill", ["stopped", "stopped"], {}, [[0, 8080]]],
    ["nothing new", ["running"], { count: 0 }, []],
  ])("%s", (_name, states, more, expected) => {
    expect(plan(states, more)).toEqual(expected);
  });

  test("ports do not run over the last one", () => {
    expect(() => plan([], { count: 2, port: 65_535 })).toThrow(/no ports left/u);
  });

  test("a worker's configuration is the template with its own directory, port and share of memory", () => {
    const config = workerConfigFor(
      { network: "none" },
      { index: 2, port: 8082 },
      { memoryMb: 9216, workers: 4 },
    );
    expect(config).toEqual({
      network: "none",
      worker_dir: "workers/worker-2",
      worker_port: 8082,
      mem_pool_mb: 2048,
    });
    expect(
      workerConfigFor({ mem_pool_mb: 100 }, { index: 0, port: 1 }, { memoryMb: 9216, workers: 4 })[
        "mem_pool_mb"
      ],
    ).toBe(100);
  });
});

const status = (caught: string): string =>
  `Name:\tnode\nUid:\t1000\t0\t0\t0\nSigIgn:\t0000000000000800\nSigCgt:\t${caught}\n`;

describe("the text of /proc/PID/status", () => {
  test("says whose a process is, and which signals it handles", () => {
    expect(parseStatus(status("0000000100000800"), "SIGUSR2")).toEqual({ uid: 1000, handles: true });
    expect(parseStatus(status("00000001000007ff"), "SIGUSR2")).toEqual({ uid: 1000, handles: false });
    expect(parseStatus("", "SIGUSR2")).toEqual({ uid: undefined, handles: false });
  });
});
