import { chmod, cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const PACKAGES = fileURLToPath(new URL("../../../", import.meta.url));

/** Whom a test's engine runs as. */
export interface Account {
  readonly name: "root" | "rootless";
  /** Undefined: as the test itself. */
  readonly uid?: number;
  readonly path: string;
  readonly python?: string;
  /** A copy of chaos-worker.mjs that this user can read. */
  readonly program?: string;
}

const isRoot = process.getuid?.() === 0;
// No entry of /etc/passwd is needed for it, and none has it.
const STRANGER_UID = 54_321;
const STRANGER_PATH = "/usr/local/bin:/usr/bin:/bin";

let copied: Promise<string> | undefined;

/** What an ordinary user may not be able to read here (a repository below /root) is copied to where he can. */
const copyForStranger = async (): Promise<string> => {
  const directory = await mkdtemp(path.join(tmpdir(), "ol-stranger-"));
  await chmod(directory, 0o755);
  for (const name of ["common", "sandbox"]) {
    const target = path.join(directory, "node_modules/@ol", name);
    await mkdir(target, { recursive: true });
    for (const part of ["package.json", "dist", "python"]) {
      if (name === "common" && part === "python") continue;
      await cp(path.join(PACKAGES, name, part), path.join(target, part), {
        recursive: true,
        filter: (file) => !file.endsWith("__pycache__"),
      });
    }
  }
  await cp(path.join(PACKAGES, "sandbox/test/support"), path.join(directory, "support"), { recursive: true });
  return directory;
};

/** The built package, as this account can import it. */
export const sandboxModuleFor = async (account: Account): Promise<string> => {
  if (account.program === undefined) return path.join(PACKAGES, "sandbox/dist/index.js");
  return path.join(path.dirname(account.program), "../node_modules/@ol/sandbox/dist/index.js");
};

/** The users that the test at hand can run an engine as: root and an ordinary one, or only the latter. */
export const accounts = async (): Promise<Account[]> => {
  const own = process.env["PATH"] ?? STRANGER_PATH;
  if (!isRoot) return [{ name: "rootless", path: own }];
  copied ??= copyForStranger();
  const directory = await copied;
  return [
    { name: "root", path: own },
    {
      name: "rootless",
      uid: STRANGER_UID,
      path: STRANGER_PATH,
      program: path.join(directory, "support/chaos-worker.mjs"),
    },
  ];
};

/** Removes what `accounts` made. */
export const forgetAccounts = async (): Promise<void> => {
  if (copied !== undefined) await rm(await copied, { recursive: true, force: true });
  copied = undefined;
};
