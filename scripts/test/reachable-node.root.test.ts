import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, it, onTestFinished } from "vitest";

import { anybodyCanRun, copyNode } from "../lib/reachable-node.mjs";

it("a Node that only root can reach is copied to where everybody can run it", () => {
  const home = mkdtempSync(join(tmpdir(), "ol-home-"));
  onTestFinished(() => rmSync(home, { recursive: true }));
  mkdirSync(join(home, "bin"));
  chmodSync(home, 0o700);
  const node = join(home, "bin/node");
  copyFileSync(process.execPath, node);
  expect(anybodyCanRun(node)).toBe(false);

  const copy = copyNode(node);
  onTestFinished(() => rmSync(copy, { recursive: true }));
  expect(anybodyCanRun(join(copy, "bin/node"))).toBe(true);
});
