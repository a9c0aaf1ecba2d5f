import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";

/** A directory of a test's own; gone with `[Symbol.dispose]`. */
export class TestDirectory implements Disposable {
  readonly path: string;

  constructor(parent: string = tmpdir()) {
    this.path = mkdtempSync(path.join(parent, "ol-registry-"));
  }

  /** The data directory in it, which is not made yet. */
  get data(): string {
    return path.join(this.path, "data");
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
