import { bundle, entry, F, pax, paxRecord } from "../tar-builder.ts";
import { damaged, type HostileBundle } from "./hostile-bundle.ts";
import { file, longName, nul } from "./parts.ts";

/** Headers of tar that say what cannot be, or twice what may be said once. */
export const HEADERS: readonly HostileBundle[] = [
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
