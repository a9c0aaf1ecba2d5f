// Root's tests start Node as ordinary users too, and such a user cannot reach a Node in root's home, where version
// managers put it.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const nobody = 65_534;

/** Whether every user of this machine may run the program. Only root can tell. */
export const anybodyCanRun = (program) =>
  spawnSync(program, ["--version"], { uid: nobody, gid: nobody, cwd: "/", stdio: "ignore" }).status === 0;

/** npm's own directory, by the link that starts it; undefined if it is arranged in another way. */
const npmOf = (node) => {
  const link = join(dirname(node), "npm");
  const directory = existsSync(link) ? dirname(dirname(realpathSync(link))) : undefined;
  return directory !== undefined && existsSync(join(directory, "bin/npx-cli.js")) ? directory : undefined;
};

/** Copies Node, npm and its settings to a directory that everybody can read; returns the directory. */
export const copyNode = (node = process.execPath) => {
  const copy = mkdtempSync(join(tmpdir(), "ol-node-"));
  chmodSync(copy, 0o755);
  for (const name of ["bin", "lib", "etc"]) mkdirSync(join(copy, name));
  copyFileSync(node, join(copy, "bin/node"));
  const settings = join(dirname(node), "../etc/npmrc");
  if (existsSync(settings)) copyFileSync(settings, join(copy, "etc/npmrc"));
  const npm = npmOf(node);
  if (npm !== undefined) {
    cpSync(npm, join(copy, "lib/npm"), { recursive: true });
    for (const name of ["npm", "npx"]) symlinkSync(`../lib/npm/bin/${name}-cli.js`, join(copy, "bin", name));
  }
  return copy;
};
