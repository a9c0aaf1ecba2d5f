import { readdir, readFile } from "node:fs/promises";
import path from "node:path";

import { describe, expect, it } from "vitest";

import type { Sandbox } from "../../src/index.ts";
import { eventually } from "../support/cluster.ts";
import {
  ask,
  breed,
  call,
  LIMITS,
  failureOf,
  poolOf,
  shareRig,
  specOf,
  statesOf,
  two,
  whoIs,
} from "../support/docker-share.ts";

const rig = shareRig((place) => ({ logDir: path.join(place.place.directory, "logs") }));

describe("sandboxes of one lambda that share a container", () => {
  it("are in one, those of another lambda in another, and none is left when the engine is closed", async () => {
    await using own = await rig.place.engine("other");
    await using pool = poolOf(own);
    const [one, other] = await two(pool, "a");
    await pool.acquire(specOf("b"));
    await pool.acquire(specOf("a", { environment: { MORE: "1" } }));
    await pool.acquire(specOf("a", { limits: { ...LIMITS, memoryMb: 65 } }));
    expect(rig.place.containers("lambda", "b")).toHaveLength(1);
    // One for the two, and one for each that differs.
    expect(rig.place.containers("lambda", "a")).toHaveLength(3);
    const [first, second] = [await whoIs(one), await whoIs(other)];
    expect(first.pid).not.toBe(second.pid);
    for (const { pid, session, parent } of [first, second]) {
      expect(session).toBe(pid);
      expect(parent).toBe(1);
    }
    expect(own.stats()).toMatchObject({ sandboxes: 5, prepared: 0 });
    await pool.close();
    // Each stays a while for the next of its kind, and is told of as what it is.
    expect(own.stats()).toMatchObject({ sandboxes: 0, prepared: 4 });
    await own.close();
    expect(rig.place.containers("worker", "other")).toEqual([]);
    const { workDir } = rig.place.options("other");
    for (const directory of ["handlers", "trash"])
      expect(await readdir(path.join(workDir, directory))).toEqual([]);
    expect(await readdir(path.join(workDir, "run"))).toEqual(["lock"]);
  });

  it("draw other random numbers, uuids and names than each other", async () => {
    await using pool = poolOf(rig.engine);
    const drawn = await Promise.all((await two(pool, "chance")).map((each) => ask(each, "chance")));
    const values = (drawn as string[][]).flat();
    expect(values).toHaveLength(10);
    expect(new Set(values).size).toBe(10);
  });

  it("have output of their own, and one /tmp and /host, which the documentation says", async () => {
    await using pool = poolOf(rig.engine);
    const [one, other] = await two(pool, "say");
    await ask(one, "say", "I am one");
    await ask(other, "say", "I am the other");
    for (const file of ["/tmp/a", "/host/a"]) {
      await ask(one, "write", file, "common");
      expect(await ask(other, "read", file)).toBe("common");
    }
    const live = path.join(rig.place.options("main").workDir, "handlers", "say", one.id, "stdout");
    expect(await readFile(live, "utf8")).toBe("call I am one\n");
    await pool.close();
    for (const [{ id }, text] of [
      [one, "I am one"],
      [other, "I am the other"],
    ] as const)
      expect(await readFile(path.join(rig.place.place.directory, "logs/say", `${id}.stdout`), "utf8")).toBe(
        `call ${text}\n`,
      );
  });

  it("end alone, with all that they have started", async () => {
    await using pool = poolOf(rig.engine);
    const [one, other] = await two(pool, "kill");
    const pids = await breed(one);
    expect(await statesOf(other, pids)).toHaveLength(3);
    await one.destroy();
    expect(await one.exited).toEqual({ reason: "killed" });
    expect(await statesOf(other, pids)).toEqual([]);
    expect(rig.place.containers("lambda", "kill")).toHaveLength(1);
  });

  it("end though they fork as fast as they can", async () => {
    await using pool = poolOf(rig.engine);
    const [one, other] = await two(pool, "bomb");
    await ask(one, "bomb");
    // Where there is no process to be had another one is not made, but in another container.
    const third = await pool.acquire(specOf("bomb"));
    expect(await ask(third, "say", "elsewhere")).toBe(null);
    await one.destroy();
    expect(await one.exited).toEqual({ reason: "killed" });
    expect(await ask(other, "say", "still here")).toBe(null);
    expect(rig.place.containers("lambda", "bomb")).toHaveLength(2);
  });

  it("leave the CPU to what they are forked from, however many processes they start", async () => {
    await using pool = poolOf(rig.engine);
    const crowd = specOf("crowd", { limits: { ...LIMITS, procs: 40, memoryMb: 256 } });
    const all = await Promise.all(Array.from({ length: 6 }, () => pool.acquire(crowd)));
    const [calm] = all.splice(0, 1) as [Sandbox];
    expect(await ask(calm, "priorities")).toEqual([0, 19, "EACCES"]);
    // One that comes late finds no process to begin with.
    await Promise.all(all.map((each) => failureOf(call(each, "bomb"))));
    await Promise.all(all.map((each) => each.destroy()));
    for (const each of all) expect(await each.exited).toEqual({ reason: "killed" });
    expect(await ask(calm, "say", "still here")).toBe(null);
  });

  it("exit and are killed with their own reasons, which are told", async () => {
    await using pool = poolOf(rig.engine);
    const [one, other] = await two(pool, "reasons");
    const [third, fourth] = await two(pool, "reasons");
    await failureOf(call(one, "leave", 3));
    expect(await one.exited).toEqual({ reason: "exit", code: 3 });
    const { pid } = await whoIs(other);
    await failureOf(call(other, "send", pid, 9));
    expect(await other.exited).toEqual({ reason: "signal", signal: "SIGKILL" });
    for (const each of [third, fourth]) expect(await ask(each, "say", "here")).toBe(null);
  });

  it("are killed one at a time when memory runs out", async () => {
    await using pool = poolOf(rig.engine);
    const [one, other] = await two(pool, "memory");
    expect(await ask(one, "fill", 30)).toBe(30 << 20);
    expect(await failureOf(call(one, "fill", 400))).toMatchObject({ code: "OL_SANDBOX_OUT_OF_MEMORY" });
    expect(await one.exited).toEqual({ reason: "out-of-memory" });
    expect(await ask(other, "fill", 30)).toBe(30 << 20);
    expect(rig.place.containers("lambda", "memory")).toHaveLength(1);
  });

  it("are paused alone, with their children, and hold what is told", async () => {
    await using pool = poolOf(rig.engine);
    const [one, other] = await two(pool, "pause");
    const [child = 0, orphan = 0] = await breed(one);
    const { pid } = await whoIs(one);
    expect(await one.pause()).toBe(true);
    expect(await statesOf(other, [pid, child, orphan])).toEqual(["T", "T", "T"]);
    for (const each of [one, other]) expect(await each.memoryBytes()).toBeGreaterThan(1_000_000);
    expect(await whoIs(one)).toMatchObject({ pid });
    const states = await statesOf(other, [child, orphan]);
    expect(states).toHaveLength(2);
    expect(states).not.toContain("T");
  });

  it("that fill their scratch directory are all ended for it, and the next call works", async () => {
    await using pool = poolOf(rig.engine);
    const [one, other] = await two(pool, "disk");
    for (const file of ["/host/a", "/host/b", "/host/c"])
      await ask(one, "write", file, "x".repeat(3 << 20)).catch(() => undefined);
    for (const each of [one, other]) expect(await each.exited).toEqual({ reason: "out-of-disk" });
    expect(await ask(await pool.acquire(specOf("disk")), "say", "works")).toBe(null);
  });

  it("are not those that packages are installed in", async () => {
    await using pool = poolOf(rig.engine);
    const installers = await Promise.all(
      [1, 2].map(() => pool.acquire(specOf("installer", { scratchOnDisk: true }))),
    );
    expect(rig.place.containers("lambda", "installer")).toHaveLength(2);
    for (const each of installers) expect((await whoIs(each)).parent).toBe(0);
  });

  it("are made of a container that waited, if there is one", async () => {
    await using own = await rig.place.engine("prepared", { prepared: 1 });
    await using pool = poolOf(own);
    await pool.acquire(specOf("first"));
    expect(await eventually(() => own.stats().prepared === 1)).toBe(true);
    const ofIt = () => rig.place.containers("worker", "prepared");
    expect(ofIt()).toHaveLength(2);
    const [one, other] = await two(pool, "second");
    expect(await whoIs(one)).toMatchObject({ parent: 1 });
    expect(await whoIs(other)).toMatchObject({ parent: 1 });
    expect(rig.place.containers("lambda", "second")).toEqual([]);
  });
});

describe("without sharing", () => {
  it("each sandbox has a container, and sees no other's files and processes", async () => {
    await using own = await rig.place.engine("alone", { share: "off" });
    await using pool = poolOf(own);
    const [one, other] = await two(pool, "alone");
    expect(rig.place.containers("lambda", "alone")).toHaveLength(2);
    await ask(one, "write", "/tmp/a", "mine");
    expect((await call(other, "read", "/tmp/a")).failure).toBe("exception");
    expect(await whoIs(other)).toMatchObject({ pid: 1, parent: 0 });
    expect(own.enforcement.notes.join()).not.toContain("docker.share");
    expect(rig.engine.enforcement.notes.join()).toContain("docker.share");
    expect(rig.engine.enforcement.pause).toBe("signals");
    expect(own.enforcement.pause).not.toBe("signals");
  });
});
