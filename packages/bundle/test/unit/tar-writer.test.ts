import { deferred } from "@ol/common";
import { describe, expect, it } from "vitest";

import { TarWriter } from "../../src/tar-writer.ts";

const MEBIBYTE = 1024 * 1024;

async function* pieces(count: number): AsyncGenerator<Uint8Array> {
  for (let piece = 0; piece < count; piece += 1) yield Buffer.alloc(MEBIBYTE);
}

describe("an archive that is written", () => {
  it("fails with what its taker fails with, in the middle of a file and afterwards", async () => {
    let taken = 0;
    const full = new Error("the disk is full");
    const archive = new TarWriter(async (piece) => {
      taken += piece.length;
      if (taken > 2 * MEBIBYTE) throw full;
    });
    await expect(archive.file({ path: "a", executable: false, size: 8 * MEBIBYTE }, pieces(8))).rejects.toBe(
      full,
    );
    await expect(archive.finish()).rejects.toBe(full);
  });

  it("fails with what a file's content fails with", async () => {
    const archive = new TarWriter(async () => undefined);
    const changed = new Error("it has changed");
    const content = async function* (): AsyncGenerator<Uint8Array> {
      yield* pieces(1);
      throw changed;
    };
    await expect(archive.file({ path: "a", executable: false, size: 2 * MEBIBYTE }, content())).rejects.toBe(
      changed,
    );
  });

  it("is not read faster than it is taken", async () => {
    let made = 0;
    const held = deferred<void>();
    const archive = new TarWriter(() => held.promise);
    const counted = async function* (): AsyncGenerator<Uint8Array> {
      for await (const piece of pieces(64)) {
        made += 1;
        yield piece;
      }
    };
    const written = archive.file({ path: "a", executable: false, size: 64 * MEBIBYTE }, counted());
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(made).toBeLessThan(8);
    held.resolve();
    await written;
    await archive.finish();
    expect(made).toBe(64);
  });
});
