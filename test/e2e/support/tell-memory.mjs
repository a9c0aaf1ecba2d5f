/**
 * Imported into a process of ours (`--import`): for each SIGUSR2 it collects garbage and writes `memory BYTES` to its standard error, what
 * its JavaScript holds then, buffers included.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
/** @type {() => void} */
const collect = runInNewContext("gc");

process.on("SIGUSR2", () => {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  process.stderr.write(`memory ${heapUsed + external}\n`);
});
