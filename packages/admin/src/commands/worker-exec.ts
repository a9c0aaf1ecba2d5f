import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";

import { usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command } from "../cli/command.ts";
import { adminError } from "../errors.ts";

export const workerExecCommand: Command = {
  name: "worker-exec",
  about: "run one worker here, its log on this terminal; ctrl-C stops it",
  options: {
    cluster: CLUSTER_OPTION,
    config: { kind: "text", value: "FILE", about: "the worker's configuration" },
  },
  async run(args, context) {
    const named = args.text("config");
    if (named === undefined) throw usageError("worker-exec needs --config=FILE, the worker's configuration");
    const file = resolve(context.cwd, named);
    if (!existsSync(file)) throw usageError(`there is no file ${file}`);
    const [program = process.execPath, ...first] = context.workerCommand();
    const child = spawn(program, [...first, "--config", file], {
      cwd: context.cwd,
      env: { ...context.environment },
      stdio: "inherit",
      // A group of its own: the terminal's ctrl-C reaches us alone, and the worker hears of it once.
      detached: true,
    });
    const pass = (): void => {
      child.kill("SIGTERM");
    };
    // The worker, too, takes the second one as an order to end at once.
    const signals = [context.signal, context.urgent];
    for (const signal of signals) signal.addEventListener("abort", pass, { once: true });
    if (context.signal.aborted) pass();
    return new Promise<number>((settle, reject) => {
      child.once("error", (error) =>
        reject(
          adminError("OL_ADMIN_WORKER_FAILED", `cannot start the worker: ${error.message}`, { cause: error }),
        ),
      );
      child.once("close", (code, signal) => {
        for (const one of signals) one.removeEventListener("abort", pass);
        if (signal !== null) context.output.message(`the worker was ended by ${signal}`);
        settle(code === 0 ? 0 : 1);
      });
    });
  },
};
