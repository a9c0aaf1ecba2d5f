import { mkdirSync, writeFileSync } from "node:fs";
import * as path from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { ObjectStore } from "../../src/index.ts";
import { sha256Of } from "../support/bodies.ts";
import { TestDirectory } from "../support/directory.ts";
import { RemoteError, StoreProcess } from "../support/store-process.ts";
import { contentOf, openStore } from "../support/stores.ts";

let directory: TestDirectory;
beforeEach(() => {
  directory = new TestDirectory();
});
afterEach(() => directory[Symbol.dispose]());

/** Runs a program where `script` has been run before, in a mount namespace of its own; `$0` is the data directory. */
const inNamespace = (script: string): readonly string[] => {
  mkdirSync(directory.data);
  const rights = process.getuid?.() === 0 ? ["-m"] : ["-Urm"];
  return ["unshare", ...rights, "sh", "-c", `${script} && exec "$@"`, directory.data];
};

const failure = async (act: Promise<unknown>): Promise<RemoteError> => {
  const error = await act.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RemoteError);
  return error as RemoteError;
};

/** Has the kernel fail these calls, in the one thread that makes them; if files are named, those on these files. */
const injected = (faults: readonly string[], ...files: readonly string[]): readonly string[] => [
  "strace",
  "-f",
  "-o",
  path.join(directory.path, "trace"),
  "-e",
  "trace=fsync,fdatasync,/^rename,/^unlink",
  ...faults.flatMap((fault) => ["-e", `inject=${fault}`]),
  ...files.flatMap((file) => ["-P", file]),
  "env",
  "UV_THREADPOOL_SIZE=1",
];

const recordDirectory = (key: string): string =>
  path.join(directory.data, "records", sha256Of(`code/${key}`).slice(0, 1));

describe("A full disk", () => {
  it("is told as such; nothing of the upload stays, and what there is room for is taken", async () => {
    const under = inNamespace('mount -t tmpfs -o size=4m,mode=700 small "$0"');
    await using store = await StoreProcess.start({ directory: directory.data, under });
    await store.ask("put", { key: "kept", seed: "1", size: 1_000_000 });
    // A large one, whose bytes meet the end; and one that is small enough for memory and not for the disk.
    for (const [key, size] of [
      ["kept", 9_000_000],
      ["new", 3_500_000],
    ]) {
      expect(await failure(store.ask("put", { key, seed: "2", size }))).toMatchObject({
        code: "InsufficientStorage",
        why: "ENOSPC",
      });
      expect(await store.ask("temporary")).toEqual([]);
    }
    expect(await store.ask("keys")).toEqual(["kept"]);
    expect(await store.ask("digest", { key: "kept" })).toBe(
      await store.ask("expected", { seed: "1", size: 1_000_000 }),
    );
    await store.ask("put", { key: "small", seed: "3", size: 20_000 });
    await store.ask("delete", { key: "kept" });
    await store.ask("put", { key: "new", seed: "4", size: 3_000_000 });
    expect(await store.ask("stats")).toMatchObject({ objects: 2, writable: true, logged: [] });
  });

  it("takes as many small objects as there is room for, and each that was taken is there", async () => {
    const under = inNamespace('mount -t tmpfs -o size=1m,mode=700 small "$0"');
    await using store = await StoreProcess.start({ directory: directory.data, under });
    const taken: string[] = [];
    const refused = new Set<string>();
    for (let at = 0; at < 80; at += 1) {
      try {
        await store.ask("put", { key: `${at}`, seed: `${at}`, size: 20_000 });
        taken.push(`${at}`);
      } catch (error) {
        refused.add((error as RemoteError).code);
      }
    }
    expect([...refused]).toEqual(["InsufficientStorage"]);
    expect(taken.length).toBeGreaterThan(20);
    expect(taken.length).toBeLessThan(60);
    expect(await store.ask("keys")).toEqual(taken.sort());
    expect(await store.ask("temporary")).toEqual([]);
    expect(await store.ask("blobs")).toHaveLength(taken.length);
  });
});

describe("A disk that is full at the start", () => {
  it("is served from, and space is made by removing", async () => {
    // Made by a first process; then not a byte is free.
    const fill = 'head -c 900000 /dev/zero >"$0/fill"; cat /dev/zero >>"$0/fill" 2>/dev/null';
    const script = `mount -t tmpfs -o size=1m,mode=700 small "$0" && "$@" </dev/null >/dev/null && { ${fill}; true; }`;
    await using store = await StoreProcess.start({ directory: directory.data, under: inNamespace(script) });
    expect(await failure(store.ask("put", { key: "a", seed: "1", size: 100 }))).toMatchObject({
      code: "InsufficientStorage",
    });
    expect(await store.ask("keys")).toEqual([]);
    await store.ask("run", { command: "rm", given: [path.join(directory.data, "fill")] });
    await store.ask("put", { key: "a", seed: "1", size: 100 });
    expect(await store.ask("stats")).toMatchObject({ objects: 1, logged: [] });
  });
});

describe("A read-only file system", () => {
  it("is one clear line at the start", async () => {
    const under = inNamespace('mount -t tmpfs small "$0" && mount -o remount,ro "$0"');
    expect(await failure(StoreProcess.start({ directory: directory.data, under }))).toMatchObject({
      code: "OL_REGISTRY_BAD_DIRECTORY",
      message: `${directory.data} cannot be used: the file system is read-only (EROFS)`,
    });
  });

  it("that it has become meanwhile is told as such, and what is there can still be read", async () => {
    // Renamed are the format, the bucket, and what the first upload wrote; removed is what the second one wrote.
    const under = injected(["/^rename:error=EROFS:when=5", "/^unlink:error=EROFS:when=2"]);
    await using store = await StoreProcess.start({ directory: directory.data, under });
    await store.ask("put", { key: "a", seed: "1", size: 1000 });
    const told = { code: "ServiceUnavailable", message: expect.stringContaining("read-only"), why: "EROFS" };
    expect(await failure(store.ask("put", { key: "b", seed: "2", size: 1000 }))).toMatchObject(told);
    expect(await failure(store.ask("delete", { key: "a" }))).toMatchObject(told);
    expect(await store.ask("digest", { key: "a" })).toBe(
      await store.ask("expected", { seed: "1", size: 1000 }),
    );
    await store.ask("put", { key: "b", seed: "2", size: 1000 });
    expect(await store.ask("keys")).toEqual(["a", "b"]);
  });
});

describe("A sync that fails", () => {
  // Of a large one it is the first of several, which comes while bytes are still being sent.
  it.each([1000, 30_000_000])(
    "of a content of %d bytes fails the upload, which leaves nothing, and no other",
    async (size) => {
      // The first two are the format's and the bucket's; then come a content's and its record's.
      const under = injected(["fdatasync:error=EIO:when=3"]);
      await using store = await StoreProcess.start({ directory: directory.data, under });
      const error = await failure(store.ask("put", { key: "a", seed: "1", size }));
      expect(error).toMatchObject({ code: "InternalError", why: "EIO" });
      expect(error.message).not.toContain(directory.path);
      expect(await store.ask("keys")).toEqual([]);
      expect(await store.ask("temporary")).toEqual([]);
      expect(await store.ask("blobs")).toEqual([]);
      await store.ask("put", { key: "a", seed: "1", size });
      expect(await store.ask("keys")).toEqual(["a"]);
    },
  );

  it("of a record fails the upload, and leaves the object that was there", async () => {
    const under = injected(["fdatasync:error=EIO:when=6"]);
    await using store = await StoreProcess.start({ directory: directory.data, under });
    const digest = await store.ask("put", { key: "a", seed: "1", size: 1000 });
    expect(await failure(store.ask("put", { key: "a", seed: "2", size: 1000 }))).toMatchObject({
      code: "InternalError",
    });
    expect(await store.ask("digest", { key: "a" })).toBe(digest);
    expect(await store.ask("blobs")).toEqual([digest]);
    expect(await store.ask("temporary")).toEqual([]);
    await store.ask("put", { key: "a", seed: "3", size: 1000 });
  });

  it("of a directory ends all writing until the next start, and no reading", async () => {
    let first: unknown;
    {
      const under = injected(["fsync:error=EIO:when=2+"], recordDirectory("a"));
      await using store = await StoreProcess.start({ directory: directory.data, under });
      first = await store.ask("put", { key: "a", seed: "1", size: 1000 });
      expect(await failure(store.ask("put", { key: "a", seed: "2", size: 1000 }))).toMatchObject({
        code: "InternalError",
        why: "EIO",
      });
      for (const key of ["a", "b"]) {
        const refused = await failure(store.ask("put", { key, seed: "3", size: 1000 }));
        expect(refused).toMatchObject({ code: "ServiceUnavailable" });
      }
      expect(await failure(store.ask("delete", { key: "a" }))).toMatchObject({ code: "ServiceUnavailable" });
      expect(await store.ask("digest", { key: "a" })).toBe(first);
      expect(await store.ask("stats")).toMatchObject({
        writable: false,
        logged: ["a directory could not be synced: nothing is written until the registry is started again"],
      });
    }
    // Which of the two is there is for the disk to say; it is whole.
    await using store = await openStore(directory.data);
    const info = store.head("code", "a");
    expect(sha256Of(await contentOf(store, "a"))).toBe(info.digest);
    expect(store.stats()).toMatchObject({ objects: 1, blobs: 1, quarantined: 0, writable: true });
  });
});

describe("A slow disk", () => {
  it("gives a content to whoever asked before it was removed, although its file is opened later", async () => {
    let digest = "";
    {
      await using store = await StoreProcess.start({ directory: directory.data });
      digest = (await store.ask("put", { key: "a", seed: "1", size: 1000 })) as string;
    }
    const blob = path.join(directory.data, "blobs", digest.slice(0, 1), digest);
    const trace = path.join(directory.path, "trace");
    const delay = ["-e", "trace=openat", "-e", "inject=openat:delay_enter=300000", "-P", blob];
    const under = ["strace", "-f", "-o", trace, ...delay];
    await using store = await StoreProcess.start({ directory: directory.data, under });
    const [read, removed] = await Promise.all([
      store.ask("digest", { key: "a" }),
      store.ask("delete", { key: "a" }),
    ]);
    expect([read, removed]).toEqual([digest, true]);
    expect(await store.ask("blobs")).toEqual([]);
  });
});

describe("A directory", () => {
  it("is used by one process: the second is told in one line by which", async () => {
    await using first = await StoreProcess.start({ directory: directory.data });
    const second = await failure(StoreProcess.start({ directory: directory.data }));
    expect(second.code).toBe("OL_REGISTRY_IN_USE");
    expect(second.message).toMatch(
      new RegExp(
        `^${directory.data} is used by another registry \\(process ${first.pid}, since [0-9TZ:.-]+\\); stop [^\\n]*$`,
      ),
    );
    await expect(ObjectStore.open({ directory: directory.data })).rejects.toMatchObject({
      code: "OL_REGISTRY_IN_USE",
    });
    await first.ask("put", { key: "a", seed: "1", size: 10 });
    // A lock that outlived its holder would be a stale one.
    await first.kill();
    await using third = await StoreProcess.start({ directory: directory.data });
    expect(await third.ask("keys")).toEqual(["a"]);
  });

  it("is used by one process also where another one is in namespaces of its own, as containers are", async () => {
    await using first = await StoreProcess.start({ directory: directory.data });
    const rights = process.getuid?.() === 0 ? ["-mnpf"] : ["-Urmnpf"];
    const under = ["unshare", ...rights, "--mount-proc"];
    const second = await failure(StoreProcess.start({ directory: directory.data, under }));
    expect(second.code).toBe("OL_REGISTRY_IN_USE");
    expect(await first.ask("keys")).toEqual([]);
  });

  it("is used by one process also where there is no program flock, which is said", async () => {
    // Of what is on PATH, only node.
    const bin = path.join(directory.path, "bin");
    mkdirSync(bin);
    const environment = { PATH: bin };
    await using first = await StoreProcess.start({ directory: directory.data, environment });
    expect(await first.ask("stats")).toMatchObject({
      logged: [expect.stringContaining("there is no program flock")],
    });
    const second = await failure(StoreProcess.start({ directory: directory.data, environment }));
    expect(second.code).toBe("OL_REGISTRY_IN_USE");
  });

  it("whose lock cannot be taken is told with flock's own words", async () => {
    const bin = path.join(directory.path, "bin");
    mkdirSync(bin);
    writeFileSync(path.join(bin, "flock"), "#!/bin/sh\necho 'flock: 3: No locks available' >&2\nexit 71\n", {
      mode: 0o755,
    });
    const environment = { PATH: `${bin}:/usr/bin:/bin` };
    const error = await failure(StoreProcess.start({ directory: directory.data, environment }));
    expect(error).toMatchObject({ code: "OL_REGISTRY_BAD_DIRECTORY" });
    expect(error.message).toContain("No locks available");
  });

  it("with a part on another file system is refused", async () => {
    mkdirSync(path.join(directory.data, "blobs"), { recursive: true });
    const under = ["unshare", ...(process.getuid?.() === 0 ? ["-m"] : ["-Urm"]), "sh", "-c"];
    const script = 'mount -t tmpfs other "$0/blobs" && exec "$@"';
    const error = await failure(
      StoreProcess.start({ directory: directory.data, under: [...under, script, directory.data] }),
    );
    expect(error.message).toMatch(/on another file system than the rest$/);
  });
});
