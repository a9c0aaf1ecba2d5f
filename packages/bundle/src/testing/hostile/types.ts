import { bundle, entry, F, pax } from "../tar-builder.ts";
import { type HostileBundle, unsafe } from "./hostile-bundle.ts";
import { directory, file, link, longName } from "./parts.ts";

const typed = (what: string, type: string): HostileBundle =>
  unsafe(what, bundle(F, entry({ name: "odd", type })), bundle(F, entry({ name: "odd" })));

/** Entries that are neither a plain file nor a plain directory. */
export const TYPES: readonly HostileBundle[] = [
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
