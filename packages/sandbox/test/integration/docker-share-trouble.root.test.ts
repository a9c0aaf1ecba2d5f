import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { sweepDocker } from "../../src/docker/host.ts";
import { eventually } from "../support/cluster.ts";
import {
  ask,
  call,
  CALL_MS,
  failureOf,
  poolOf,
  shareRig,
  specOf,
  two,
  whoIs,
} from "../support/docker-share.ts";

const rig = shareRig();

describe("a lambda in a shared container", () => {
  it("does not reach what it was forked from, nor has its channel to the engine", async () => {
    await using pool = poolOf(rig.engine);
    const [one, other] = await two(pool, "hostile");
    const outcomes = await ask(one, "attack");
    expect(outcomes).toEqual({
      "write to its memory": "EACCES",
      "read its environment": "EACCES",
      "list its descriptors": "EACCES",
      "take a descriptor": "EACCES",
      "connect to control": "ENOENT",
      "connect to 1": "ENOENT",
      "make a socket there": "EROFS",
    });
    // One, to the worker.
    expect(await ask(one, "sockets")).toEqual(["socket"]);
    const third = await pool.acquire(specOf("hostile"));
    for (const each of [other, third]) expect(await ask(each, "say", "here")).toBe(null);
  });

  it("ends its own siblings at most, and the next call works", async () => {
    await using pool = poolOf(rig.engine);
    const [one, other] = await two(pool, "murderer");
    const stranger = await pool.acquire(specOf("stranger"));
    const { pid } = await whoIs(other);
    const seen = await ask(one, "peek", pid);
    // Where Landlock keeps signals in, it ends nobody but itself.
    const reaches = rig.engine.enforcement.notes.some((note) => note.includes("with Landlock"));
    const told = await ask(one, "kill_all_but_me");
    const otherEnded = await failureOf(call(other, "say", "unharmed"));
    expect([seen, told, otherEnded === undefined]).toEqual(
      reaches ? ["open", "sent", false] : ["EACCES", "EPERM", true],
    );
    expect(await ask(await pool.acquire(specOf("murderer")), "say", "works")).toBe(null);
    expect(await ask(stranger, "say", "unharmed")).toBe(null);
  });

  it("is lost with the process that it was forked from, and the next call works", async () => {
    await using pool = poolOf(rig.engine);
    const both = await two(pool, "orphans");
    const stranger = await pool.acquire(specOf("stranger"));
    const open = failureOf(call(both[0], "sleep", 20));
    process.kill(rig.place.pidIn("orphans"), "SIGKILL");
    expect(await open).toMatchObject({ status: 502 });
    for (const each of both) expect(await each.exited).toMatchObject({ reason: "lost" });
    expect(await ask(await pool.acquire(specOf("orphans")), "say", "works")).toBe(null);
    expect(await ask(stranger, "say", "unharmed")).toBe(null);
    await Promise.all(both.map((each) => each.destroy()));
    expect(await eventually(() => rig.place.containers("lambda", "orphans").length === 1)).toBe(true);
  });

  it("whose first process hangs is lost when one of them is to end, and nobody waits longer", async () => {
    await using pool = poolOf(rig.engine);
    const both = await two(pool, "hangs");
    process.kill(rig.place.pidIn("hangs"), "SIGSTOP");
    expect(await ask(both[0], "say", "goes on")).toBe(null);
    await both[0].destroy();
    expect(await both[1].exited).toEqual({
      reason: "lost",
      message: expect.stringContaining("its first process did not answer within 10000 ms") as string,
    });
    expect(await ask(await pool.acquire(specOf("hangs")), "say", "works")).toBe(null);
  });
});

describe("when the daemon is killed, or the worker", () => {
  it("shared sandboxes are lost, and once it is back the same engine makes others", async () => {
    await using own = await rig.place.engine("daemon");
    await using pool = poolOf(own);
    const both = await two(pool, "daemon");
    await rig.place.place.daemon.kill();
    for (const each of both) expect(["lost", "signal"]).toContain((await each.exited).reason);
    await rig.place.place.daemon.start();
    expect(await ask(await pool.acquire(specOf("daemon")), "say", "again")).toBe(null);
    expect(await eventually(() => rig.place.containers("lambda", "daemon").length === 1, CALL_MS)).toBe(true);
    await pool.close();
    await own.close();
    expect(rig.place.containers("lambda", "daemon")).toEqual([]);
  });

  it("what a killed worker leaves is swept", async () => {
    const options = rig.place.options("crash");
    const program = `
      import { DockerEngine, SandboxPool } from "@ol/sandbox";
      const engine = await DockerEngine.create(JSON.parse(process.argv[1]));
      const pool = SandboxPool.create({ engine, memoryMb: 500, createMs: 60000 });
      const two = await Promise.all([0, 1].map(() => pool.acquire(JSON.parse(process.argv[2]))));
      await Promise.all(two.map((each) => each.ready));
      await two[0].pause();
      console.log("ready");
      setInterval(() => {}, 1000);
    `;
    const child = spawn(
      process.execPath,
      ["--input-type=module", "-e", program, JSON.stringify(options), JSON.stringify(specOf("crash"))],
      {
        cwd: fileURLToPath(new URL("../../../worker", import.meta.url)),
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    expect((await sweepDocker(options)).removed).toBeGreaterThanOrEqual(2);
    expect(rig.place.containers("lambda", "crash")).toEqual([]);
    expect(await readdir(path.join(options.workDir, "handlers"))).toEqual([]);
    await expect(stat(path.join(options.workDir, "run", "guests"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});
