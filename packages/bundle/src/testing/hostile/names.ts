import { bundle, entry, F, GNU, pax } from "../tar-builder.ts";
import { damaged, type HostileBundle, unsafe } from "./hostile-bundle.ts";
import { directory, file, longName } from "./parts.ts";

/** A file beside f.py, by two names. */
const named = (what: string, bad: string | Buffer, good: string): HostileBundle =>
  unsafe(`a name ${what}`, bundle(F, file(bad)), bundle(F, file(good)));

/** Names that lead elsewhere, or that are not what they look like. */
export const NAMES: readonly HostileBundle[] = [
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

/** Two of one name, or of what some file systems take for one. */
export const TWICE: readonly HostileBundle[] = [
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
