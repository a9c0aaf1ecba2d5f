import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";

import { type Header, pack } from "tar-stream";
import { describe, expect, test } from "vitest";

import { unpackArchive } from "../../src/base/archive.ts";
import { type Unpacked, unpackTree } from "../../src/base/unpack.ts";
import { temporaryDirectory } from "../support/harness.ts";

type Item = Partial<Header> & { readonly name: string; readonly text?: string };

const archiveOf = async (items: readonly Item[]): Promise<Buffer> => {
  const archive = pack();
  for (const { text, ...header } of items) archive.entry(header, text ?? "");
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
};

const file = (name: string, text = "inside", mode = 0o644): Item => ({ name, text, mode });
const directory = (name: string, mode = 0o755): Item => ({ name, type: "directory", mode });
const link = (name: string, linkname: string): Item => ({ name, type: "symlink", linkname });
const hardLink = (name: string, linkname: string): Item => ({ name, type: "link", linkname });

interface Place {
  /** Where it is unpacked. */
  readonly root: string;
  /** A directory beside it, with the file `secret`. */
  readonly outside: string;
}

const place = (): Place => {
  const parent = temporaryDirectory();
  const [root, outside] = [join(parent, "root"), join(parent, "outside")];
  mkdirSync(root);
  mkdirSync(outside);
  writeFileSync(join(outside, "secret"), "secret");
  return { root, outside };
};

const options = { name: "the image", signal: new AbortController().signal };

const unpackBytes = (bytes: Buffer, root: string): Promise<Unpacked> =>
  unpackTree(Readable.from([bytes]), root, options);

const unpack = async (items: readonly Item[], root: string): Promise<Unpacked> =>
  unpackBytes(await archiveOf(items), root);

const modeOf = (path: string): number => lstatSync(path).mode & 0o7777;

describe("an archive of a root file system", () => {
  test("comes out with its files, directories and links of both kinds, however its names are spelled", async () => {
    const { root } = place();
    const items = [
      directory("./"),
      directory("./usr/"),
      file("./usr/a", "text"),
      file("/usr/lib/deep/b", "b"),
      link("bin", "usr/bin"),
      hardLink("usr/same", "./usr/a"),
      hardLink("usr/itself", "usr/itself"),
    ];
    expect(await unpack(items, root)).toMatchObject({ entries: items.length, leftOut: 0 });
    expect(readFileSync(join(root, "usr/a"), "utf8")).toBe("text");
    expect(readFileSync(join(root, "usr/lib/deep/b"), "utf8")).toBe("b");
    expect(readlinkSync(join(root, "bin"))).toBe("usr/bin");
    expect(statSync(join(root, "usr/same")).ino).toBe(statSync(join(root, "usr/a")).ino);
  });

  test("is ours, gives no program its owner's rights, and lets nobody else change it", async () => {
    const { root } = place();
    const before = process.umask(0);
    try {
      await unpack(
        [
          directory("./", 0o777),
          file("su", "", 0o6755),
          { ...file("writable", "", 0o1666), uid: 12_345, gid: 12_345 },
          file("secret", "", 0o040),
          directory("open", 0o1777),
          directory("closed", 0o050),
          file("closed/a"),
          file("implied/a"),
        ],
        root,
      );
    } finally {
      process.umask(before);
    }
    const modes = Object.fromEntries(
      ["", "su", "writable", "secret", "open", "closed", "implied"].map((name) => [
        name,
        modeOf(join(root, name)),
      ]),
    );
    expect(modes).toEqual({
      "": 0o755,
      su: 0o755,
      writable: 0o644,
      secret: 0o640,
      open: 0o755,
      closed: 0o750,
      implied: 0o755,
    });
    expect(lstatSync(join(root, "writable")).uid).toBe(process.getuid?.());
  });

  test("loses devices, pipes, and what only a running system has", async () => {
    const { root } = place();
    const items: Item[] = [
      { name: "dev/null", type: "character-device", devmajor: 1, devminor: 3 },
      { name: "disk", type: "block-device", devmajor: 8, devminor: 0 },
      { name: "pipe", type: "fifo" },
      file("dev/shm/left"),
      file("proc/1/mem"),
      file("sys/kernel/x"),
      directory("dev"),
      file("etc/kept"),
    ];
    expect(await unpack(items, root)).toMatchObject({ entries: 2, leftOut: 6 });
    expect(readdirSync(root).sort()).toEqual(["dev", "etc"]);
    expect(readdirSync(join(root, "dev"))).toEqual([]);
  });

  test("may have a file twice: what comes later counts, and other names of the first keep it", async () => {
    const { root } = place();
    await unpack(
      [file("a", "first"), hardLink("b", "a"), file("a", "second"), link("b2", "a"), file("b2", "third")],
      root,
    );
    expect(["a", "b", "b2"].map((name) => readFileSync(join(root, name), "utf8"))).toEqual([
      "second",
      "first",
      "third",
    ]);
  });
});

/** Each would touch what is outside if names and links were taken as they are. */
const ESCAPES: readonly (readonly [string, RegExp, (place: Place) => readonly Item[]])[] = [
  ["a name with ..", /"\.\.\/outside\/secret", whose name leads out/u, () => [file("../outside/secret")]],
  ["a name with .. within", /leads out/u, () => [directory("a"), file("a/../../outside/secret")]],
  [
    "a file through a link",
    /"a" as a directory, and as something else/u,
    ({ outside }) => [link("a", outside), file("a/secret")],
  ],
  [
    "a file through a relative link",
    /"a" as a directory, and/u,
    () => [link("a", "../outside"), file("a/secret")],
  ],
  [
    "a file through two links",
    /"b" as a directory, and/u,
    () => [link("a", ".."), link("b", "a/outside"), file("b/secret")],
  ],
  [
    "a link for a directory that was there",
    /"a" as a directory, and/u,
    ({ outside }) => [directory("a"), link("a", outside), file("a/secret")],
  ],
  [
    "a directory for a link",
    /"a" as a directory, and/u,
    ({ outside }) => [link("a", outside), directory("a", 0o700)],
  ],
  ["a hard link with ..", /leads out/u, () => [hardLink("a", "../outside/secret"), file("a", "changed")]],
  [
    "a hard link through a link",
    /"a" is no directory in it/u,
    ({ outside }) => [link("a", outside), hardLink("b", "a/secret"), file("b", "changed")],
  ],
  [
    "a hard link to an absolute path",
    /is no directory in it/u,
    ({ outside }) => [hardLink("b", join(outside, "secret"))],
  ],
  ["a name with a NUL", /leads out/u, () => [{ ...file("x"), pax: { path: "a\0b" } }]],
];

describe("what is outside of a base", () => {
  test.each(ESCAPES)("is not touched by %s: it is refused", async (_name, message, items) => {
    const here = place();
    const before = statSync(here.outside);
    await expect(unpack(items(here), here.root)).rejects.toMatchObject({
      code: "OL_ADMIN_BASE",
      message: expect.stringMatching(message) as string,
    });
    expect(readFileSync(join(here.outside, "secret"), "utf8")).toBe("secret");
    expect(readdirSync(here.outside)).toEqual(["secret"]);
    expect(statSync(here.outside).mode).toBe(before.mode);
  });

  test("is not written to where a file replaces a link to it, nor where one has an absolute name", async () => {
    const { root, outside } = place();
    const secret = join(outside, "secret");
    await unpack([link("a", secret), file("a", "changed"), file(secret, "changed")], root);
    expect(readFileSync(secret, "utf8")).toBe("secret");
    expect(readFileSync(join(root, "a"), "utf8")).toBe("changed");
    expect(readFileSync(join(root, secret), "utf8")).toBe("changed");
  });

  test("would be reached by whoever follows: the control", () => {
    const { root, outside } = place();
    symlinkSync(outside, join(root, "a"));
    writeFileSync(join(root, "a/secret"), "changed");
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("changed");
    linkSync(join(root, "a/secret"), join(root, "b"));
    writeFileSync(join(root, "b"), "changed again");
    expect(readFileSync(join(outside, "secret"), "utf8")).toBe("changed again");
  });
});

/** A header's type is its byte 156, its checksum the sum of its bytes with blanks in the checksum's place. */
const withType = (archive: Buffer, type: string): Buffer => {
  archive.write(type, 156);
  archive.fill(" ", 148, 156);
  const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return archive;
};

const DAMAGED: readonly (readonly [string, RegExp, () => Promise<Buffer>])[] = [
  ["nothing", /^the image cannot be unpacked: it ends too early$/u, async () => Buffer.alloc(0)],
  ["an empty archive", /^the image has nothing in it$/u, async () => Buffer.alloc(10_240)],
  [
    "something else",
    /^the image cannot be unpacked: Invalid tar header/u,
    async () => Buffer.alloc(2048, "text"),
  ],
  [
    "an archive that breaks off in a file",
    /^the image cannot be unpacked: (?:Unexpected end of data|it ends too early)$/u,
    async () => (await archiveOf([file("a", "x".repeat(4000))])).subarray(0, 2048),
  ],
  [
    "an archive that breaks off between two files",
    /^the image cannot be unpacked: it ends too early$/u,
    async () => (await archiveOf([file("a", "x"), file("b", "x")])).subarray(0, 1024),
  ],
  [
    "an archive followed by an error of the daemon",
    /^the image cannot be unpacked: /u,
    async () =>
      Buffer.concat([
        (await archiveOf([file("a", "x")])).subarray(0, 1024),
        Buffer.from('{"message":"EOF"}'),
      ]),
  ],
  [
    "a file with holes",
    /"a" is stored with holes; pack it without --sparse$/u,
    () => archiveOf([{ ...file("a"), pax: { "GNU.sparse.major": "1" } }]),
  ],
  [
    "a name that is no text",
    /"caf\uFFFD" has a name, or leads to one, that is not UTF-8$/u,
    async () => {
      const archive = await archiveOf([file("cafe")]);
      archive[3] = 0xe9;
      return withType(archive, "0");
    },
  ],
  [
    "a kind of entry that nobody knows",
    /"a" is of a kind that no root file system has$/u,
    async () => withType(await archiveOf([file("a")]), "V"),
  ],
  [
    "a name that is too long",
    /its name is too long \(ENAMETOOLONG\)$/u,
    () => archiveOf([file("n".repeat(300))]),
  ],
  [
    "an entry for the base itself that is no directory",
    /"" as a directory, and as something else$/u,
    () => archiveOf([link("./", "/etc")]),
  ],
];

describe("an archive that is none, or damaged", () => {
  test.each(DAMAGED)("is refused in one line: %s", async (_name, message, make) => {
    const { root } = place();
    const bytes = await make();
    await expect(unpackBytes(bytes, root)).rejects.toMatchObject({
      code: "OL_ADMIN_BASE",
      message: expect.stringMatching(message) as string,
    });
  });

  test("ends with the reason that its source gives", async () => {
    const bytes = await archiveOf([file("a", "x".repeat(100_000))]);
    const source = Readable.from(
      (function* () {
        yield bytes.subarray(0, 50_000);
        throw Object.assign(new Error("x"), { code: "EIO" });
      })(),
    );
    await expect(unpackTree(source, place().root, options)).rejects.toMatchObject({
      code: "OL_ADMIN_BASE",
      message: "the image cannot be unpacked: the disk reports an error (EIO)",
    });
  });

  test("ends when it is interrupted, though nothing more comes", async () => {
    const interrupt = new AbortController();
    const source = new Readable({ read: () => undefined });
    source.push((await archiveOf([file("a", "x".repeat(10_000))])).subarray(0, 4096));
    const { root } = place();
    const unpacking = unpackTree(source, root, { name: "the image", signal: interrupt.signal });
    unpacking.catch(() => undefined);
    await expect.poll(() => existsSync(join(root, "a"))).toBe(true);
    interrupt.abort();
    await expect(unpacking).rejects.toMatchObject({ code: "OL_ADMIN_BASE" });
  });
});

/** What comes out of a file with these bytes. */
const open = async (bytes: Buffer): Promise<string[]> => {
  const { root } = place();
  const path = join(root, "..", "file");
  writeFileSync(path, bytes);
  await unpackArchive(path, root, options);
  return readdirSync(root);
};

describe("a file with an archive", () => {
  test("may be packed by gzip or not at all", async () => {
    const bytes = await archiveOf([file("a")]);
    expect(await open(bytes)).toEqual(["a"]);
    expect(await open(gzipSync(bytes))).toEqual(["a"]);
  });

  test.each<readonly [string, RegExp, (bytes: Buffer) => Buffer]>([
    ["xz", /is packed by xz; unpack it first/u, () => Buffer.from("fd377a585a0000", "hex")],
    ["zstd", /is packed by zstd; unpack it first/u, () => Buffer.from("28b52ffd00", "hex")],
    ["half of a gzip", /cannot be unpacked: /u, (bytes) => gzipSync(bytes).subarray(0, 60)],
    [
      "a gzip whose sum is wrong",
      /cannot be unpacked: /u,
      (bytes) => {
        const packed = gzipSync(bytes);
        packed.fill(0, packed.length - 8, packed.length - 4);
        return packed;
      },
    ],
  ])("that is %s is refused", async (_name, message, damage) => {
    const bytes = damage(await archiveOf([file("a", "x".repeat(5000))]));
    await expect(open(bytes)).rejects.toMatchObject({
      code: "OL_ADMIN_BASE",
      message: expect.stringMatching(message) as string,
    });
  });
});
