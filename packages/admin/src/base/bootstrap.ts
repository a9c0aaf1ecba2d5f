import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

import { CleanupStack, isOlError, systemReason } from "@ol/common";

import type { Context } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { escapeControls } from "../text.ts";
import { unpackArchive } from "./archive.ts";
import { baseFailure } from "./failure.ts";

type BuildContext = Pick<Context, "environment" | "output" | "signal">;

/** What a lambda needs that the smallest system does not have: Python, certificates, time zones. */
const PACKAGES = "python3,ca-certificates,tzdata";
/** A slow mirror, and a slow disk; it usually takes one or two minutes. */
const DEADLINE_MS = 3_600_000;
/** They tidy up at SIGTERM. */
const GRACE_MS = 10_000;
/** Of what a program prints, this much is kept of the end, where it says what went wrong. */
const KEPT_CHARACTERS = 65_536;

/** Runs a program to its end and returns once it is gone; it is ended at the deadline, and when `signal` is aborted. */
const run = async (program: string, args: readonly string[], context: BuildContext): Promise<void> => {
  const ended = AbortSignal.any([context.signal, AbortSignal.timeout(DEADLINE_MS)]);
  if (ended.aborted) throw baseFailure(`${program} was not started`);
  const child = spawn(program, args, { env: { ...context.environment }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-KEPT_CHARACTERS);
    });
  let killer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    child.kill("SIGTERM");
    killer = setTimeout(() => child.kill("SIGKILL"), GRACE_MS);
  };
  ended.addEventListener("abort", stop, { once: true });
  try {
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    if (ended.aborted) throw baseFailure(`${program} was ended before it was done`);
    if (code !== 0)
      throw baseFailure(`${program} failed: ${telling(said) || (signal ?? `exit code ${code}`)}`);
  } catch (error) {
    if (isOlError(error)) throw error;
    throw baseFailure(`${program} cannot be started: ${systemReason(error)}`, error);
  } finally {
    clearTimeout(killer);
    ended.removeEventListener("abort", stop);
  }
};

/** The first error, as these programs mark one, from which the others follow; else the last line. */
const telling = (said: string): string => {
  const lines = said.split("\n").filter((line) => line.trim() !== "");
  return escapeControls(lines.find((line) => line.startsWith("E: ")) ?? lines.at(-1) ?? "");
};

const isInstalled = (program: string, { environment }: BuildContext): boolean =>
  (environment["PATH"] ?? "")
    .split(":")
    .some((directory) => directory !== "" && existsSync(join(directory, program)));

/** By way of an archive: with it an ordinary user's base is his own, and nothing is ever mounted in it. */
const byMmdebstrap = async (suite: string, directory: string, context: BuildContext): Promise<void> => {
  const asRoot = process.getuid?.() === 0;
  if (!asRoot && !isInstalled("newuidmap", context))
    throw baseFailure(
      "mmdebstrap needs newuidmap to run as an ordinary user; install it (Debian: apt-get install uidmap), or run ol-admin as root",
    );
  const archive = `${directory}.tar`;
  await using undo = new CleanupStack();
  undo.add(() => rm(archive, { force: true }));
  const mode = asRoot ? "root" : "unshare";
  const options = ["--variant=minbase", `--include=${PACKAGES}`, `--mode=${mode}`, "--format=tar"];
  await run("mmdebstrap", [...options, "--", suite, archive], context);
  await unpackArchive(archive, directory, {
    name: `what mmdebstrap made of ${suite}`,
    signal: context.signal,
  });
};

/** In a mount namespace: what it mounts there, and leaves when it fails, ends with it. */
const byDebootstrap = async (suite: string, directory: string, context: BuildContext): Promise<void> => {
  const command = ["debootstrap", "--variant=minbase", `--include=${PACKAGES}`, suite, directory];
  await run("unshare", ["--mount", "--", ...command], context);
  // As what is unpacked: in a base no program gives rights of its owner's, and nobody else may change it.
  await run("chmod", ["-R", "u-s,g-s,g-w,o-w", "--", directory], context);
};

/** Fills `directory`, which is there and empty. Fails with OL_ADMIN_BASE; what is there then is for the caller to remove. */
export const bootstrapBase = async (
  suite: string,
  directory: string,
  context: BuildContext,
): Promise<void> => {
  const make = isInstalled("mmdebstrap", context)
    ? byMmdebstrap
    : process.getuid?.() === 0 && isInstalled("debootstrap", context)
      ? byDebootstrap
      : undefined;
  if (make === undefined)
    throw baseFailure(
      `--base=debootstrap:${suite} needs mmdebstrap, or as root debootstrap, and neither is installed (Debian: apt-get install mmdebstrap uidmap)`,
    );
  await withProgress(context.output, `making the base from ${suite}`, make(suite, directory, context));
};
