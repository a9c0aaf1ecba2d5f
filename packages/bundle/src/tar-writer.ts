import { pipeline } from "node:stream/promises";

import { type Header, pack } from "tar-stream";

/** A file or directory as an archive tells of it. */
export interface TarEntry {
  /** In NFC, without a slash at its end. */
  readonly path: string;
  readonly executable: boolean;
  readonly size: number;
}

/** Equal entries are equal bytes: no owner, no group, no time, and only one of two modes. */
const headers = (
  name: string,
  type: "file" | "directory",
  executable: boolean,
  size: number,
): Partial<Header> & Pick<Header, "name"> => ({
  name,
  type,
  size,
  mode: executable ? 0o755 : 0o644,
  mtime: new Date(0),
  uid: 0,
  gid: 0,
});

/** Makes an archive of what it is told, in that order, by tar-stream. */
export class TarWriter {
  readonly #archive = pack();
  readonly #written: Promise<void>;

  /** `write` gets the archive piece by piece, each when it is done with the one before. What it fails with, the writer does. */
  constructor(write: (piece: Uint8Array) => Promise<void>) {
    this.#written = this.#writeTo(write);
    // Whoever is writing an entry then hears of it.
    this.#written.catch(() => undefined);
  }

  async directory(path: string): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#archive.entry(headers(`${path}/`, "directory", true, 0), () => resolve());
    });
  }

  /** Fails with what `content` fails with. */
  async file({ path, executable, size }: TarEntry, content: AsyncIterable<Uint8Array>): Promise<void> {
    const entry = this.#archive.entry(headers(path, "file", executable, size));
    try {
      await pipeline(content, entry);
    } catch (error) {
      this.#archive.destroy(error as Error);
      await this.#written;
      throw error;
    }
  }

  async finish(): Promise<void> {
    this.#archive.finalize();
    await this.#written;
  }

  async #writeTo(write: (piece: Uint8Array) => Promise<void>): Promise<void> {
    for await (const piece of this.#archive) await write(piece as Uint8Array);
  }
}
