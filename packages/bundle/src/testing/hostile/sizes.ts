import { bundle, entry, F, gz, pax, tar } from "../tar-builder.ts";
import { type HostileBundle, large } from "./hostile-bundle.ts";
import { directory, file, longName, nul } from "./parts.ts";

const MIB = 1024 * 1024;
const octal = (value: number): string => `${value.toString(8).padStart(11, "0")}\0`;

/** More bytes, files, levels or headers than there may be. */
export const SIZES: readonly HostileBundle[] = [
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
