import { readdir, readlink } from "node:fs/promises";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { SLOWNESS } from "../../support/scale.ts";
import { type Engine, Host, type Mode } from "./host.ts";
import { type HostProcess, childrenOf, listProcesses } from "./processes.ts";

const LEAVES = process.env["OL_TEST_SOAK"] === "1" ? 1000 : 100;
const AT_ONCE = 10;
const FIRST_SANDBOX_UID = 0x70000000;
// CAP_SETGID, CAP_SETUID, CAP_NET_ADMIN, CAP_SYS_ADMIN; and CAP_SETFCAP where the tree has one id only.
const ZYGOTE_CAPABILITIES: Readonly<Record<Mode, bigint>> = { root: 0x2010c0n, rootless: 0x802010c0n };

/** Zygotes and leaves as the host sees them, and what leaves of one zygote have in common. */
export const describeTree = (mode: Mode): void => {
  describe("a tree of processes", () => {
    let host: Host;
    let engine: Engine;

    beforeAll(async () => {
      host = await Host.open(mode);
      engine = await host.engine();
    });

    afterAll(() => host[Symbol.asyncDispose]());

    it("has filters, few capabilities and namespaces of its own in each process", async () => {
      const sandbox = await engine.sandbox("none");
      const { init, zygote, leaf } = await treeOf(engine);
      for (const { status } of [init, zygote, leaf]) {
        expect(status["NoNewPrivs"]).toBe("1");
        expect(status["Seccomp"]).toBe("2");
      }
      expect(zygote.status["Seccomp_filters"]).toBe("1");
      expect(leaf.status["Seccomp_filters"]).toBe("2");
      expect(capabilities(init)).toBe(0n);
      expect(capabilities(zygote)).toBe(ZYGOTE_CAPABILITIES[mode]);
      expect(capabilities(leaf)).toBe(0n);
      // NSpid lists the pid in each namespace, the innermost last.
      expect(innermostPid(init)).toBe(1);
      expect(innermostPid(zygote)).not.toBe(1);
      expect(innermostPid(leaf)).toBe(1);
      const kinds = ["user", "mnt", "pid", "ipc", "uts", "cgroup", "net"];
      const own = await namespacesOf(process.pid, kinds);
      const between = await namespacesOf(zygote.pid, kinds);
      const inside = await namespacesOf(leaf.pid, kinds);
      const shared = (one: readonly string[], other: readonly string[]): string[] =>
        kinds.filter((_kind, at) => one[at] === other[at]);
      expect(shared(own, between)).toEqual([]);
      expect(shared(own, inside)).toEqual([]);
      // As root a leaf stays in the tree's user namespace, under an id of its own.
      expect(shared(between, inside)).toEqual(mode === "root" ? ["user"] : []);
      await sandbox.destroy();
    });

    it("runs under ids that nobody else has, each leaf under its own; as an ordinary user under that user's", async () => {
      const sandboxes = await Promise.all([engine.sandbox("none"), engine.sandbox("none")]);
      const { init, zygote } = await treeOf(engine);
      const leaves = await childrenOf(zygote.pid);
      const uids = leaves.map(({ status }) => Number(status["Uid"]?.split("\t")[0]));
      const ofTree = Number(init.status["Uid"]?.split("\t")[0]);
      const [first, second] = uids;
      expect(uids).toHaveLength(2);
      expect({
        outsideOfTheHosts: uids.every((uid) => uid >= FIRST_SANDBOX_UID),
        differ: first !== second,
        sameAsTree: uids.some((uid) => uid === ofTree),
      }).toEqual(
        mode === "root"
          ? { outsideOfTheHosts: true, differ: true, sameAsTree: false }
          : { outsideOfTheHosts: false, differ: false, sameAsTree: true },
      );
      await Promise.all(sandboxes.map((sandbox) => sandbox.destroy()));
    });

    it("leaves no process behind that has left its session and its parent", async () => {
      const name = `stray-${process.pid % 10_000}`;
      const isThere = async (): Promise<boolean> =>
        (await listProcesses()).some((process) => process.name === name);
      const sandbox = await engine.sandbox("none");
      await sandbox.probe({ probe: "daemon", name });
      await expect.poll(isThere).toBe(true);
      await sandbox.destroy();
      expect(await isThere()).toBe(false);
    });

    it("takes no descriptor from a lambda that sends a thousand", async () => {
      const count = async (): Promise<number> => (await readdir(`/proc/${engine.workerPid}/fd`)).length;
      const sandbox = await engine.sandbox("none");
      const before = await count();
      expect(await sandbox.probe({ probe: "flood-descriptors" })).toMatchObject({ succeeded: true });
      expect(await count()).toBeLessThan(before + 50);
      // The connection has survived it.
      expect(await sandbox.probe({ probe: "sys" })).toMatchObject({ succeeded: false });
      await sandbox.destroy();
    });

    it(
      `gives ${LEAVES} leaves of one zygote different random values`,
      async () => {
        await using own = await host.engine();
        const seen = new Map<string, Set<unknown>>();
        const zygotes = new Set<number>();
        const one = async (): Promise<void> => {
          const sandbox = await own.sandbox("none");
          const { detail } = await sandbox.probe({ probe: "first-random-values" });
          await sandbox.destroy();
          for (const [source, value] of Object.entries(detail as Record<string, unknown>))
            seen.set(source, (seen.get(source) ?? new Set()).add(value));
        };
        for (let made = 0; made < LEAVES; made += AT_ONCE) {
          await Promise.all(Array.from({ length: AT_ONCE }, one));
          if (made === 0 || made + AT_ONCE >= LEAVES) zygotes.add(await zygoteOf(own));
        }
        expect(zygotes.size).toBe(1);
        const sizes = Object.fromEntries([...seen].map(([source, values]) => [source, values.size]));
        const sources = ["random", "ssl", "uuid1", "uuid4", "secrets", "tempfile", "urandom"];
        expect(sizes).toEqual(Object.fromEntries(sources.map((source) => [source, LEAVES])));
      },
      240_000 * SLOWNESS,
    );
  });
};

const only = (processes: readonly HostProcess[], what: string): HostProcess => {
  const [found] = processes;
  if (found === undefined) throw new Error(`no ${what}`);
  return found;
};

const zygoteOf = async (engine: Engine): Promise<number> => {
  const init = only(await pythons(engine.brokerPid), "init");
  return only(await childrenOf(init.pid), "zygote").pid;
};

/** The broker's children that are trees, not programs that it runs to clean up. */
const pythons = async (pid: number): Promise<HostProcess[]> =>
  (await childrenOf(pid)).filter(({ name }) => name.startsWith("python"));

const treeOf = async (
  engine: Engine,
): Promise<{ init: HostProcess; zygote: HostProcess; leaf: HostProcess }> => {
  const init = only(await pythons(engine.brokerPid), "init");
  const zygote = only(await childrenOf(init.pid), "zygote");
  const leaf = only(await childrenOf(zygote.pid), "leaf");
  return { init, zygote, leaf };
};

const namespacesOf = (pid: number, kinds: readonly string[]): Promise<string[]> =>
  Promise.all(kinds.map((kind) => readlink(`/proc/${pid}/ns/${kind}`)));

const capabilities = (process: HostProcess): bigint => BigInt(`0x${process.status["CapPrm"]}`);

const innermostPid = (process: HostProcess): number => Number(process.status["NSpid"]?.split("\t").at(-1));
