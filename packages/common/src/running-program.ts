import { CleanupStack } from "./cleanup.ts";
import { messageOf } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { Readiness } from "./readiness.ts";
import { firstSignal } from "./signals.ts";

/** A server of ours with all its parts. */
export interface RunningProgram {
  readonly logger: Logger;
  readonly url: string;
  /** Lets what is under way finish, then ends everything. Idempotent. */
  close(): Promise<void>;
}

/** Puts a server together; `assemble` settles with its URL. If that fails, what had been started is ended, its log last. */
export const startParts = async (
  logger: Logger & { close(): Promise<void> | void },
  assemble: (undo: CleanupStack) => Promise<string>,
): Promise<RunningProgram> => {
  const undo = new CleanupStack();
  undo.add(() => logger.close());
  try {
    const url = await assemble(undo);
    let closing: Promise<void> | undefined;
    return { logger, url, close: () => (closing ??= undo.run()) };
  } catch (error) {
    await undo.run();
    throw error;
  }
};

/** Runs a server until a signal; settles with the exit code. `name` is the program's, `finishing` says what may still finish. */
export const runUntilSignal = async (
  name: string,
  finishing: string,
  readiness: Readiness,
  start: () => Promise<RunningProgram>,
): Promise<number> => {
  // Before the start: a signal in the middle of it must not leave half of it behind.
  const signalled = firstSignal();
  const program = await start();
  const { logger, url } = program;
  logger.info("ready", { url, pid: process.pid });
  readiness.ready(url);
  logger.info(`stopping; ${finishing} that run may finish`, { signal: await signalled });
  try {
    await program.close();
  } catch (error) {
    process.stderr.write(`${name}: could not stop cleanly: ${messageOf(error)}\n`);
    return 1;
  }
  return 0;
};
