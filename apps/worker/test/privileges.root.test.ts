import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, it, onTestFinished } from "vitest";

import { reachOf } from "../src/privileges.ts";

const SOMEBODY = { name: "somebody", uid: 61_234, gid: 61_235 };
const GROUP = 61_300;

const socketOf = async (
  owner: readonly [number, number],
  mode: number,
  ofDirectory = 0o755,
): Promise<string> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-reach-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  await chmod(directory, 0o755);
  const inner = join(directory, "run");
  await mkdir(inner);
  await chmod(inner, ofDirectory);
  const file = join(inner, "socket");
  await writeFile(file, "");
  await chmod(file, mode);
  await chown(file, ...owner);
  return file;
};

it.each([
  ["anybody's", [0, 0], 0o666, 0o755, { kind: "any" }],
  ["his own", [SOMEBODY.uid, 0], 0o600, 0o755, { kind: "any" }],
  ["his own group's", [0, SOMEBODY.gid], 0o660, 0o755, { kind: "any" }],
  ["another group's", [0, GROUP], 0o660, 0o755, { kind: "group", gid: GROUP }],
  ["of root's group", [0, 0], 0o660, 0o755, { kind: "none" }],
  ["of a group that may only read", [0, GROUP], 0o640, 0o755, { kind: "none" }],
  ["in a directory of root's", [0, GROUP], 0o660, 0o700, { kind: "none" }],
] as const)(
  "a socket that is %s is reached so, or not",
  async (_whose, owner, mode, ofDirectory, expected) => {
    expect(await reachOf(await socketOf(owner, mode, ofDirectory), SOMEBODY)).toMatchObject(expected);
  },
);
