import { deflateRawSync } from "node:zlib";

import { bundle, END, entry, F, gz, tar } from "../tar-builder.ts";
import { damaged, type HostileBundle } from "./hostile-bundle.ts";
import { file, nul } from "./parts.ts";

/** Archives and gzip files that end too early, too late or never, or are none. */
export const ENDS: readonly HostileBundle[] = [
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
