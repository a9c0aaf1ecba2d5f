import type { Command } from "../cli/command.ts";
import { appCommand } from "./app.ts";
import { baseCommand } from "./base.ts";
import { configCommand } from "./config.ts";
import { doctorCommand } from "./doctor.ts";
import { downCommand } from "./down.ts";
import { gcCommand } from "./gc.ts";
import { invokeCommand } from "./invoke.ts";
import { killCommand } from "./kill.ts";
import { lbConfigCommand } from "./lb-config.ts";
import { listCommand } from "./list.ts";
import { loadBalancerExecCommand } from "./load-balancer-exec.ts";
import { loadBalancerCommand } from "./load-balancer.ts";
import { logsCommand } from "./logs.ts";
import { newCommand } from "./new.ts";
import { packagesCommand } from "./packages.ts";
import { registryCommand } from "./registry.ts";
import { removeCommand } from "./remove.ts";
import { rollbackCommand } from "./rollback.ts";
import { setconfCommand } from "./setconf.ts";
import { statusCommand } from "./status.ts";
import { upCommand } from "./up.ts";
import { uploadCommand } from "./upload.ts";
import { workerExecCommand } from "./worker-exec.ts";
import { workersCommand } from "./workers.ts";
import { zygotesCommand } from "./zygotes.ts";

/** Every command, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  newCommand,
  setconfCommand,
  configCommand,
  upCommand,
  downCommand,
  registryCommand,
  workersCommand,
  workerExecCommand,
  loadBalancerCommand,
  loadBalancerExecCommand,
  lbConfigCommand,
  statusCommand,
  killCommand,
  invokeCommand,
  appCommand,
  logsCommand,
  uploadCommand,
  listCommand,
  rollbackCommand,
  removeCommand,
  packagesCommand,
  doctorCommand,
  baseCommand,
  gcCommand,
  zygotesCommand,
];
