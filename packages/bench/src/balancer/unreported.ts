// Loaded into a worker before its program (`node --import`): the worker then says nothing of its load. For comparison only.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/** What of the worker's server writes the report into a reply. */
interface Reporting {
  readonly prototype: { loadText: () => string };
}

const program = process.argv[1];
if (program !== undefined) {
  const path = createRequire(program).resolve("@ol/worker");
  const { Worker } = (await import(pathToFileURL(path).href)) as { readonly Worker: Reporting };
  // With another name this would measure nothing.
  if (typeof Worker.prototype.loadText !== "function") throw new Error("@ol/worker has no Worker.loadText");
  Worker.prototype.loadText = () => "";
}
