import assert from "node:assert/strict";

import { isOlError, type OlError } from "@ol/common";

import type { SandboxSpec } from "../engine.ts";
import type { SandboxErrorCode } from "../errors.ts";
import type { Call } from "../frames/call.ts";
import type { Reply, Sandbox } from "../sandbox.ts";

/** Memory of one sandbox of the suite, in MB. */
export const SANDBOX_MB = 50;

/** A sandbox's description for one of the conformance handlers. */
export const specOf = (code: string, environment: Readonly<Record<string, string>> = {}): SandboxSpec => ({
  name: code,
  code,
  network: "none",
  environment,
  limits: {
    memoryMb: SANDBOX_MB,
    swappiness: 0,
    procs: 10,
    cpuPercent: 100,
    logMb: 1,
    scratchMb: 10,
  },
});

/** An innocent call of the suite, the loading of its code included, takes a thousandth of this. */
const CALL_TIMEOUT_MS = 20_000;
/** For memory that another sandbox of the case gives back. */
const MEMORY_WAIT_MS = 10_000;

// A fact about the machine, and so the same for every case.
let slowness = 1;

/** How many times longer calls, and waits for memory, may take from now on. */
export const allowSlowness = (times: number): void => {
  slowness = times;
};

/** How long a sandbox or zygote waits for memory that it is sure to get. */
export const memoryWait = (): { readonly deadlineMs: number } => ({ deadlineMs: MEMORY_WAIT_MS * slowness });

/** A call with a JSON event. */
export const callOf = (event: unknown, timeoutMs: number = CALL_TIMEOUT_MS * slowness): Call => ({
  invocationId: "01HZY0000000000000000000AA",
  body: Buffer.from(JSON.stringify(event)),
  timeoutMs,
});

/** Runs a call that must succeed; returns its result. */
export const resultOf = async (sandbox: Sandbox, event: unknown): Promise<unknown> => {
  const reply = await sandbox.call(callOf(event));
  assert.equal(reply.failure, undefined, reply.body.toString());
  return JSON.parse(reply.body.toString());
};

/** The reply's {type, message}. */
export const failureOf = (reply: Reply): { type: string; message: string } =>
  JSON.parse(reply.body.toString()) as { type: string; message: string };

/** What `promise` fails with must be the OlError with this code; returns it. */
export const failsWith = async (promise: Promise<unknown>, code: SandboxErrorCode): Promise<OlError> => {
  try {
    await promise;
  } catch (error) {
    if (!isOlError(error, code)) throw error;
    return error;
  }
  throw new assert.AssertionError({ message: `nothing failed with ${code}` });
};
