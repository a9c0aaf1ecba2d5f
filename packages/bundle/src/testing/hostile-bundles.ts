import { deflateRawSync } from "node:zlib";

import { bundle, END, entry, F, gz, GNU, pax, paxRecord, tar } from "./tar-builder.ts";

/** A bundle that has to be refused, and how. */
export interface HostileBundle {
  readonly name: string;
  readonly code:
    | "OL_BUNDLE_BAD_ARCHIVE"
    | "OL_BUNDLE_NO_HANDLER"
    | "OL_BUNDLE_TOO_LARGE"
    | "OL_BUNDLE_UNSAFE_FILE"
    | "OL_BUNDLE_BAD_CONFIG"
    | "OL_BUNDLE_BAD_REQUIREMENTS";
  readonly packed: Buffer;
  /** The same without what makes it hostile: to be taken. */
  readonly harmless: Buffer;
  /** It can be unpacked; what comes out is no lambda. */
  readonly unpacks?: true;
}

const MIB = 1024 * 1024;
const file = (name: string | Buffer, content = "x"): Buffer => entry({ name, content });
const directory = (name: string): Buffer => entry({ name, type: "5", mode: 0o755 });
const link = (name: string, to: string, type: "1" | "2" = "2"): Buffer => entry({ name, type, link: to });
const nul = (length: number): Buffer => Buffer.alloc(length);
const octal = (value: number): string => `${value.toString(8).padStart(11, "0")}\0`;

const unsafe = (name: string, packed: Buffer, harmless: Buffer): HostileBundle => ({
  name,
  code: "OL_BUNDLE_UNSAFE_FILE",
  packed,
  harmless,
});
const damaged = (name: string, packed: Buffer, harmless: Buffer): HostileBundle => ({
  name,
  code: "OL_BUNDLE_BAD_ARCHIVE",
  packed,
  harmless,
});
const large = (name: string, packed: Buffer, harmless: Buffer): HostileBundle => ({
  name,
  code: "OL_BUNDLE_TOO_LARGE",
  packed,
  harmless,
});
const useless = (
  name: string,
  code: HostileBundle["code"],
  packed: Buffer,
  harmless: Buffer,
): HostileBundle => ({ name, code, packed, harmless, unpacks: true });

/** A file beside f.py, by two names. */
const named = (what: string, bad: string | Buffer, good: string): HostileBundle =>
  unsafe(`a name ${what}`, bundle(F, file(bad)), bundle(F, file(good)));

const typed = (what: string, type: string): HostileBundle =>
  unsafe(what, bundle(F, entry({ name: "odd", type })), bundle(F, entry({ name: "odd" })));

const longName = (name: string, type = "L"): Buffer =>
  entry({ name: "././@LongLink", type, magic: GNU, content: `${name}\0` });

const names: readonly HostileBundle[] = [
  named("that leads upwards", "../evil", "evil"),
  named("that leads upwards from below", "a/../../evil", "a/evil"),
  named("that leads upwards and back", "a/../f2.py", "a/f2.py"),
  named("that ends in ..", "a/..", "a/b"),
  named("that is ..", "..", "b"),
  named("that is absolute", "/tmp/evil", "tmp/evil"),
  named("that is absolute by two slashes", "//tmp/evil", "tmp/evil"),
  named("with a dot before an absolute one", ".//tmp/evil", "./tmp/evil"),
  named("with an empty part", "a//b", "a/b"),
  named("with a dot as a part", "a/./b", "a/b"),
  named("with a backslash", "..\\..\\evil", "evil"),
  named("of a drive", "C:\\evil", "C"),
  named("with a line's end", "a\nb", "ab"),
  named("with an escape character", "a\u001B[2Jb", "ab"),
  named("with a DEL", "a\u007Fb", "ab"),
  named("with a C1 control character", "a\u009Bb", "ab"),
  named("with a line separator", "a\u2028b", "ab"),
  named("that is turned around", "a\u202Eyp.f", "ayp.f"),
  named("with a replacement character", "a\uFFFDb", "ab"),
  named("that is a directory's", "a/", "a"),
  unsafe("a file without a name", bundle(F, file("")), bundle(F, file("a"))),
  unsafe("a file whose name is a dot", bundle(F, file(".")), bundle(F, file("a"))),
  unsafe("a file whose name is a dot and a slash", bundle(F, file("./")), bundle(F, directory("./"))),
  unsafe(
    "a name in the prefix that leads upwards",
    bundle(F, entry({ name: "evil", prefix: "../.." })),
    bundle(F, entry({ name: "evil", prefix: "a/b" })),
  ),
  unsafe(
    "an absolute name in the prefix",
    bundle(F, entry({ name: "evil", prefix: "/tmp" })),
    bundle(F, entry({ name: "evil", prefix: "tmp" })),
  ),
  unsafe(
    "a name in a pax header that leads upwards",
    bundle(F, pax({ path: "../evil" }), file("good")),
    bundle(F, pax({ path: "evil" }), file("good")),
  ),
  unsafe(
    "a name in a pax header with a NUL",
    bundle(F, pax({ path: "good\0/../evil" }), file("good")),
    bundle(F, pax({ path: "good" }), file("good")),
  ),
  unsafe(
    "a name in a GNU header that leads upwards",
    bundle(F, longName("../evil"), file("good")),
    bundle(F, longName("evil"), file("good")),
  ),
  unsafe(
    "a part longer than a file system takes",
    bundle(F, pax({ path: "a".repeat(256) }), file("good")),
    bundle(F, pax({ path: "a".repeat(255) }), file("good")),
  ),
  damaged("a name that is not UTF-8", bundle(F, file(Buffer.from([0x61, 0xff]))), bundle(F, file("aÿ"))),
  damaged(
    "a name in a pax header that is not UTF-8",
    bundle(F, pax({ path: Buffer.from([0x61, 0xff]) }), file("a")),
    bundle(F, pax({ path: "aÿ" }), file("a")),
  ),
  damaged(
    "a name in a GNU header that is not UTF-8",
    bundle(F, entry({ name: "l", type: "L", magic: GNU, content: Buffer.from([0x61, 0xff, 0]) }), file("a")),
    bundle(F, longName("aÿ"), file("a")),
  ),
  damaged(
    "names of another character set",
    bundle(F, pax({ hdrcharset: "BINARY", path: "a" }), file("a")),
    bundle(F, pax({ hdrcharset: "ISO-IR 10646 2000 UTF-8", path: "a" }), file("a")),
  ),
];

const twice: readonly HostileBundle[] = [
  unsafe("f.py twice", bundle(F, F), bundle(F, file("g.py"))),
  unsafe("f.py twice, once with a dot", bundle(F, file("./f.py")), bundle(F, file("./g.py"))),
  unsafe("two names that differ in capitals", bundle(F, file("F.PY")), bundle(F, file("G.PY"))),
  unsafe(
    "two directories that differ in capitals",
    bundle(F, file("lib/a"), file("Lib/b")),
    bundle(F, file("lib/a"), file("lib/b")),
  ),
  unsafe(
    "two names that differ in how they are written",
    bundle(F, file("\u00E9"), file("e\u0301")),
    bundle(F, file("\u00E9"), file("e")),
  ),
  unsafe(
    "two names that differ in a sharp s",
    bundle(F, file("straße"), file("STRASSE")),
    bundle(F, file("straße")),
  ),
  unsafe(
    "a file that is a directory, too",
    bundle(F, file("a"), file("a/b")),
    bundle(F, file("a"), file("c/b")),
  ),
  unsafe(
    "a directory that is a file, too",
    bundle(F, file("a/b"), file("a")),
    bundle(F, file("a/b"), file("c")),
  ),
  unsafe("a directory in the place of f.py", bundle(F, directory("f.py/")), bundle(F, directory("d/"))),
];

const types: readonly HostileBundle[] = [
  unsafe("a symbolic link out", bundle(F, link("a", "/etc/passwd")), bundle(F, file("a"))),
  unsafe("a symbolic link inside", bundle(F, link("a", "f.py")), bundle(F, file("a"))),
  unsafe(
    "a file behind a symbolic link to a directory",
    bundle(F, link("a", "/tmp"), file("a/evil")),
    bundle(F, directory("a"), file("a/evil")),
  ),
  unsafe(
    "a file written through a symbolic link",
    bundle(F, link("a", "../evil"), file("a")),
    bundle(F, file("a")),
  ),
  unsafe("a hard link out", bundle(F, link("a", "/etc/passwd", "1")), bundle(F, file("a"))),
  unsafe("a hard link inside", bundle(F, link("a", "f.py", "1")), bundle(F, file("a"))),
  unsafe(
    "a link with a long target",
    bundle(F, longName(`/${"a".repeat(200)}`, "K"), link("a", "a")),
    bundle(F, longName(`/${"a".repeat(200)}`, "K"), file("a")),
  ),
  typed("a character device", "3"),
  typed("a block device", "4"),
  typed("a FIFO", "6"),
  typed("a contiguous file", "7"),
  typed("a sparse file of GNU", "S"),
  typed("a part from another volume", "M"),
  typed("a volume's name", "V"),
  typed("a directory of an incremental backup", "D"),
  typed("a Solaris header", "X"),
  typed("a type that nobody knows", "Z"),
  typed("a type beyond ASCII", "\u00FF"),
  unsafe(
    "a sparse file of pax",
    bundle(F, pax({ "GNU.sparse.major": "1", "GNU.sparse.name": "a" }), file("a")),
    bundle(F, pax({ comment: "1" }), file("a")),
  ),
  unsafe(
    "a directory with content",
    bundle(F, entry({ name: "d/", type: "5", content: "x".repeat(600) })),
    bundle(F, entry({ name: "d/", type: "5" })),
  ),
];

const headers: readonly HostileBundle[] = [
  damaged(
    "a negative size",
    bundle(F, entry({ name: "a", size: "-0000000001\0" })),
    bundle(F, entry({ name: "a", size: "00000000000\0" })),
  ),
  damaged(
    "a negative size in base 256",
    bundle(F, entry({ name: "a", size: Buffer.alloc(12, 0xff) })),
    bundle(F, entry({ name: "a" })),
  ),
  damaged(
    "a size of 2^63 in base 256",
    bundle(F, entry({ name: "a", size: Buffer.concat([Buffer.from([0x80, 0, 0, 0, 0x80]), nul(7)]) })),
    bundle(F, entry({ name: "a" })),
  ),
  damaged(
    "a size that is no octal number",
    bundle(F, entry({ name: "a", size: "00000000009\0" })),
    bundle(F, entry({ name: "a" })),
  ),
  damaged(
    "a size with something behind it",
    bundle(F, entry({ name: "a", size: "0000\x00000001\0" })),
    bundle(F, entry({ name: "a", size: "0000\0\0\0\0\0\0\0\0" })),
  ),
  damaged(
    "a mode that is no number",
    bundle(F, entry({ name: "a", mode: "rwxr-xr-" })),
    bundle(F, entry({ name: "a" })),
  ),
  damaged(
    "a negative size in a pax header",
    bundle(F, pax({ size: "-1" }), file("a")),
    bundle(F, pax({ size: "1" }), file("a")),
  ),
  damaged(
    "a size in a pax header that is no number",
    bundle(F, pax({ size: "1e1" }), file("a")),
    bundle(F, pax({ size: "1" }), file("a")),
  ),
  damaged(
    "a size in a pax header that hides the next file",
    bundle(F, pax({ size: "1024" }), file("a"), file("b"), file("c")),
    bundle(F, pax({ size: "1" }), file("a"), file("b"), file("c")),
  ),
  damaged(
    "a pax header with two sizes",
    bundle(
      F,
      entry({
        name: "p",
        type: "x",
        content: Buffer.concat([paxRecord("size", "1"), paxRecord("size", "2")]),
      }),
      file("a"),
    ),
    bundle(F, entry({ name: "p", type: "x", content: paxRecord("size", "1") }), file("a")),
  ),
  damaged(
    "a pax record that is longer than its header",
    bundle(F, entry({ name: "p", type: "x", content: "99 path=evil\n" }), file("a")),
    bundle(F, entry({ name: "p", type: "x", content: "13 path=evil\n" }), file("a")),
  ),
  damaged(
    "a pax record of no length",
    bundle(F, entry({ name: "p", type: "x", content: "0 path=evil\n" }), file("a")),
    bundle(F, entry({ name: "p", type: "x", content: "13 path=evil\n" }), file("a")),
  ),
  damaged(
    "a pax record without a key",
    bundle(F, entry({ name: "p", type: "x", content: "7 =abc\n" }), file("a")),
    bundle(F, entry({ name: "p", type: "x", content: "8 k=abc\n" }), file("a")),
  ),
  damaged(
    "one name for all files",
    bundle(pax({ path: "evil" }, "g"), F),
    bundle(pax({ comment: "of a commit" }, "g"), F),
  ),
  damaged(
    "two pax headers for one file",
    bundle(pax({ path: "evil" }), pax({ path: "f.py" }), F),
    bundle(pax({ path: "f.py" }), F),
  ),
  damaged(
    "a pax header and a GNU one for one file",
    bundle(pax({ path: "f.py" }), longName("evil"), F),
    bundle(longName("f.py"), F),
  ),
  damaged(
    "a pax header without a file",
    bundle(F, pax({ path: "a" })),
    bundle(F, pax({ path: "a" }), file("b")),
  ),
  damaged(
    "a wrong checksum",
    bundle(F, entry({ name: "a", damage: (header) => header.write("b", 0) })),
    bundle(F, entry({ name: "a" })),
  ),
  damaged(
    "a checksum that is no number",
    bundle(F, entry({ name: "a", damage: (header) => header.write("zzzzzz", 148) })),
    bundle(F, entry({ name: "a" })),
  ),
  damaged(
    "the format before ustar",
    bundle(F, entry({ name: "a", magic: nul(8).toString("latin1") })),
    bundle(F, entry({ name: "a" })),
  ),
];

const ends: readonly HostileBundle[] = [
  damaged("nothing at all", nul(0), bundle(F)),
  damaged("no gzip", tar(F), gz(tar(F))),
  damaged("no tar", gz(Buffer.from("hello".repeat(200))), gz(tar(F))),
  damaged(
    "a second archive",
    gz(Buffer.concat([tar(F), tar(file("evil"))])),
    gz(Buffer.concat([tar(F), nul(8192)])),
  ),
  damaged(
    "a second archive behind a block",
    gz(Buffer.concat([F, nul(512), file("evil"), END])),
    gz(Buffer.concat([F, nul(512), END])),
  ),
  damaged("something behind the archive's end", gz(Buffer.concat([tar(F), Buffer.from("x")])), gz(tar(F))),
  damaged(
    "zeros behind the end that are no block",
    gz(Buffer.concat([tar(F), nul(100)])),
    gz(Buffer.concat([tar(F), nul(512)])),
  ),
  damaged("an archive without an end", gz(F), gz(tar(F))),
  damaged("an archive with half an end", gz(Buffer.concat([F, nul(512)])), gz(tar(F))),
  damaged("an archive that ends in a header", gz(Buffer.concat([F, F.subarray(0, 300)])), gz(tar(F))),
  damaged(
    "an archive that ends in a file",
    gz(Buffer.concat([F, file("a", "x".repeat(2000)).subarray(0, 1024)])),
    bundle(F, file("a", "x".repeat(2000))),
  ),
  damaged(
    "a file that takes the archive's end for its content",
    bundle(F, entry({ name: "a", size: 100_000 })),
    bundle(F, entry({ name: "a", content: nul(100_000) })),
  ),
  damaged("a second gzip member", Buffer.concat([bundle(F), bundle(file("evil"))]), bundle(F)),
  damaged(
    "a second gzip member that goes on with the archive",
    Buffer.concat([gz(F), gz(tar(file("a")))]),
    bundle(F, file("a")),
  ),
  damaged("an empty second gzip member", Buffer.concat([bundle(F), gz(nul(0))]), bundle(F)),
  damaged("a byte behind gzip's end", Buffer.concat([bundle(F), Buffer.from("x")]), bundle(F)),
  damaged("zeros behind gzip's end", Buffer.concat([bundle(F), nul(512)]), bundle(F)),
  damaged("half of the file", bundle(F).subarray(0, 60), bundle(F)),
  damaged("all but the last byte", bundle(F).subarray(0, -1), bundle(F)),
  damaged("a wrong CRC", patched(bundle(F), -8), bundle(F)),
  damaged("a wrong length behind the CRC", patched(bundle(F), -4), bundle(F)),
  damaged("a broken deflate stream", patched(bundle(F), 12), bundle(F)),
  damaged("unknown flags in gzip's header", withFlags(bundle(F), 0x20), withFlags(bundle(F), 0x01)),
  damaged(
    "a gzip header without an end",
    Buffer.concat([withFlags(bundle(F), 0x08).subarray(0, 10), Buffer.alloc(100_000, "a")]),
    withName(bundle(F), "a".repeat(1000)),
  ),
  damaged("deflate without gzip", deflateRawSync(tar(F)), bundle(F)),
];

const sizes: readonly HostileBundle[] = [
  large(
    "a bomb of zeros",
    gz(tar(F, entry({ name: "a", content: nul(40 * MIB) }))),
    bundle(F, entry({ name: "a", content: nul(15 * MIB) })),
  ),
  large(
    "a bomb behind the archive's end",
    gz(Buffer.concat([tar(F), nul(40 * MIB)])),
    gz(Buffer.concat([tar(F), nul(15 * MIB)])),
  ),
  large(
    "more files than are allowed",
    bundle(F, ...Array.from({ length: 10_000 }, (_, at) => entry({ name: `a${at}` }))),
    bundle(F, ...Array.from({ length: 500 }, (_, at) => entry({ name: `a${at}` }))),
  ),
  large(
    "more directories than are allowed, only in paths",
    bundle(F, ...Array.from({ length: 250 }, (_, at) => file(`${at}/${"d/".repeat(40)}x`))),
    bundle(F, ...Array.from({ length: 10 }, (_, at) => file(`${at}/${"d/".repeat(40)}x`))),
  ),
  large(
    "more headers for all files than are allowed",
    bundle(...Array.from({ length: 10_001 }, () => pax({ comment: "x" }, "g")), F),
    bundle(...Array.from({ length: 10 }, () => pax({ comment: "x" }, "g")), F),
  ),
  large(
    "a directory too deep",
    bundle(F, pax({ path: "d/".repeat(65) }), directory("d")),
    bundle(F, pax({ path: "d/".repeat(64) }), directory("d")),
  ),
  large(
    "a file in too deep a directory",
    bundle(F, pax({ path: `${"d/".repeat(65)}x` }), file("x")),
    bundle(F, pax({ path: `${"d/".repeat(64)}x` }), file("x")),
  ),
  large(
    "a path that is too long",
    bundle(F, pax({ path: `${`${"a".repeat(200)}/`.repeat(5)}${"b".repeat(20)}` }), file("x")),
    bundle(F, pax({ path: `${`${"a".repeat(200)}/`.repeat(5)}${"b".repeat(19)}` }), file("x")),
  ),
  large(
    "a file that says it is too large",
    bundle(F, entry({ name: "a", size: octal(251 * MIB) })),
    bundle(F, entry({ name: "a" })),
  ),
  large(
    "a file that says it is too large in a pax header",
    bundle(F, pax({ size: String(2 ** 40) }), file("a")),
    bundle(F, pax({ size: "1" }), file("a")),
  ),
  large(
    "a pax header that says it is too large",
    bundle(F, entry({ name: "p", type: "x", content: `70000 path=${"a".repeat(69_988)}\n` }), file("a")),
    bundle(F, entry({ name: "p", type: "x", content: "13 path=evil\n" }), file("a")),
  ),
  large(
    "a GNU name that says it is too large",
    bundle(F, longName("a".repeat(70_000)), file("a")),
    bundle(F, longName("a".repeat(200)), file("a")),
  ),
];

const lambdas: readonly HostileBundle[] = [
  useless("no files", "OL_BUNDLE_NO_HANDLER", gz(END), bundle(F)),
  useless("no handler", "OL_BUNDLE_NO_HANDLER", bundle(file("g.py")), bundle(F)),
  useless(
    "its handler in a directory",
    "OL_BUNDLE_NO_HANDLER",
    bundle(file("hello/f.py")),
    bundle(file("./f.py")),
  ),
  useless("a directory as its handler", "OL_BUNDLE_NO_HANDLER", bundle(directory("f.py")), bundle(F)),
  useless(
    "a handler that ol.yaml finds elsewhere",
    "OL_BUNDLE_NO_HANDLER",
    bundle(F, file("ol.yaml", "environment: {OL_ENTRY_FILE: /etc/passwd}\n")),
    bundle(F, file("ol.yaml", "environment: {OL_ENTRY_FILE: f.py}\n")),
  ),
  useless(
    "a mistake in ol.yaml",
    "OL_BUNDLE_BAD_CONFIG",
    bundle(F, file("ol.yaml", "limits: {mem: 3}\n")),
    bundle(F, file("ol.yaml", "limits: {mem_mb: 64}\n")),
  ),
  useless(
    "another index in requirements.txt",
    "OL_BUNDLE_BAD_REQUIREMENTS",
    bundle(F, file("requirements.txt", "requests\n--index-url https://evil.example\n")),
    bundle(F, file("requirements.txt", "requests\n")),
  ),
  useless(
    "a path in packages.txt",
    "OL_BUNDLE_BAD_REQUIREMENTS",
    bundle(F, file("packages.txt", "file:///etc/passwd\n")),
    bundle(F, file("packages.txt", "requests\n")),
  ),
];

/**
 * Every one of them has to be refused, whoever gets it and however it came there; and what is the same without what makes it
 * hostile has to be taken. What `unpacks` is refused by checkCode only.
 */
export const HOSTILE_BUNDLES: readonly HostileBundle[] = [
  ...names,
  ...twice,
  ...types,
  ...headers,
  ...ends,
  ...sizes,
  ...lambdas,
];

/** With the bits of one byte turned around. */
function patched(data: Buffer, at: number): Buffer {
  const copy = Buffer.from(data);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = (copy[index] as number) ^ 0xff;
  return copy;
}

function withFlags(data: Buffer, flags: number): Buffer {
  const copy = Buffer.from(data);
  copy[3] = flags;
  return copy;
}

function withName(data: Buffer, name: string): Buffer {
  return Buffer.concat([withFlags(data, 0x08).subarray(0, 10), Buffer.from(`${name}\0`), data.subarray(10)]);
}
