import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { fileURLToPath } from "node:url";

import type { Environment } from "@ol/config";
import { onTestFinished } from "vitest";

import { Output } from "../../src/cli/output.ts";
import { run } from "../../src/cli/run.ts";
import { COMMANDS } from "../../src/commands/index.ts";

const FAKE_WORKER = fileURLToPath(new URL("fake-worker.mjs", import.meta.url));

/** An empty directory that is gone after the test. */
export const temporaryDirectory = (): string => {
  const path = mkdtempSync(join(tmpdir(), "ol-admin-"));
  onTestFinished(() => void execFileSync("rm", ["-rf", "--", path]));
  return path;
};

/** Writes a certificate for localhost that is its own root, and its key, under these names. */
export const writeCertificate = (cert: string, key: string): void => {
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const files = ["-keyout", key, "-out", cert];
  execFileSync("openssl", ["req", "-x509", "-days", "1", ...curve, ...files, ...names], { stdio: "ignore" });
};

/** How one command line went. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Surroundings {
  readonly cwd: string;
  readonly environment?: Environment;
  readonly input?: string;
  readonly signal?: AbortSignal;
  /** Hears of what is printed while the command runs. */
  readonly printed?: (text: string) => void;
  readonly workerCommand?: readonly string[];
  readonly registryCommand?: readonly string[];
  readonly balancerCommand?: readonly string[];
}

/** Runs a command line as the bin does, with a stand-in for ol-worker. */
export const admin = async (tokens: readonly string[], surroundings: Surroundings): Promise<Outcome> => {
  const texts = { stdout: "", stderr: "" };
  const capture = (name: keyof typeof texts): PassThrough => {
    const stream = new PassThrough();
    stream.on("data", (data: Buffer) => {
      texts[name] += data.toString("utf8");
      surroundings.printed?.(texts[name]);
    });
    return stream;
  };
  const output = new Output(capture("stdout"), capture("stderr"));
  const code = await run(
    tokens,
    { commands: COMMANDS, version: "9.9.9" },
    {
      cwd: surroundings.cwd,
      environment: { PATH: process.env["PATH"], ...surroundings.environment },
      input: Readable.from([Buffer.from(surroundings.input ?? "")]),
      output,
      signal: surroundings.signal ?? new AbortController().signal,
      urgent: new AbortController().signal,
      balancerCommand: () => surroundings.balancerCommand ?? [process.execPath, FAKE_WORKER],
      registryCommand: () => surroundings.registryCommand ?? [process.execPath, FAKE_WORKER],
      workerCommand: () => surroundings.workerCommand ?? [process.execPath, FAKE_WORKER],
    },
  );
  return { code, ...texts };
};

/** A directory with a new cluster `c` in it; whatever was started in it is ended after the test. */
export const newCluster = async (): Promise<{ readonly cwd: string; readonly cluster: string }> => {
  const cwd = temporaryDirectory();
  await admin(["new", "--cluster=c"], { cwd });
  onTestFinished(async () => {
    await admin(["kill", "--cluster=c", "--timeout=0"], { cwd });
  });
  return { cwd, cluster: join(cwd, "c") };
};
