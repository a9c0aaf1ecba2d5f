import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

import { messageOf } from "@ol/common";

import { benchError } from "./errors.ts";

/** A started process with what it says on its standard error kept for the error message. */
export interface HelperProcess {
  readonly child: ChildProcess;
  readonly errorText: () => string;
  /** SIGTERM, a bounded wait, SIGKILL, and the wait for its end. Idempotent. */
  readonly stop: () => Promise<void>;
}

const keptErrorBytes = 8192;
const stopTimeoutMs = 10_000;
const lookMs = 20;

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

/** Starts a process; never through a shell. */
export const startHelper = (
  command: string,
  args: readonly string[],
  options: SpawnOptions,
): HelperProcess => {
  const child = spawn(command, args, options);
  let errors = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-keptErrorBytes);
  });
  // Without a listener a command that does not exist would end this process; `exit` or a timeout tells us.
  child.on("error", (error) => {
    errors += messageOf(error);
  });
  // Whoever interrupts the benchmark leaves no helper behind.
  const endWithUs = (): unknown => child.kill("SIGTERM");
  process.once("exit", endWithUs);
  child.once("exit", () => process.off("exit", endWithUs));
  const stop = async (): Promise<void> => {
    if (hasEnded(child) || child.pid === undefined) return;
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
    await exited;
    clearTimeout(timer);
  };
  return { child, errorText: () => errors, stop };
};

/** The first line that a stream delivers; fails when the process ends or the time is over. */
export const firstLine = (
  helper: HelperProcess,
  stream: NodeJS.ReadableStream,
  what: string,
  timeoutMs: number,
): Promise<string> =>
  new Promise((resolve, reject) => {
    let text = "";
    const settle = (act: () => void): void => {
      clearTimeout(timer);
      stream.off("data", onData);
      helper.child.off("exit", onExit).off("error", onExit);
      act();
    };
    const fail = (why: string): void =>
      settle(() => reject(benchError("OL_BENCH_HELPER_FAILED", `${what} ${why}: ${helper.errorText()}`)));
    const onExit = (): void => fail("ended before it was ready");
    const onData = (chunk: Buffer | string): void => {
      text += chunk.toString();
      const end = text.indexOf("\n");
      if (end >= 0) settle(() => resolve(text.slice(0, end)));
    };
    const timer = setTimeout(() => fail(`was not ready after ${timeoutMs} ms`), timeoutMs);
    stream.on("data", onData);
    helper.child.once("exit", onExit).once("error", onExit);
  });

const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => settle(true)).once("error", () => settle(false));
  });

/** For programs that have no other way to say that they are ready; fails when the process ends or the time is over. */
export const untilListens = async (
  port: number,
  { child, errorText }: HelperProcess,
  what: string,
  timeoutMs: number,
): Promise<void> => {
  const untilMs = performance.now() + timeoutMs;
  while (!(await isListening(port))) {
    if (hasEnded(child) || child.pid === undefined || performance.now() > untilMs)
      throw benchError("OL_BENCH_HELPER_FAILED", `${what} does not listen: ${errorText()}`);
    await delay(lookMs);
  }
};
