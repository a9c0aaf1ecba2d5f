// Loaded into a worker before its program (`node --import`, its query's `socket` a path): whoever connects there says whether the worker
// is to say anything of its load from now on, by a line `0` or `1`. Each line is answered by one of JSON: how many calls were answered so
// far, and the CPU time so far in us. For comparison only.
import { ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

/** What of the worker's server writes the report. */
interface Reporting {
  readonly prototype: { loadText: () => string; warmText: () => string };
}

/** A head's status and its names and values, in turn. */
type WriteHead = (this: ServerResponse, status: number, headers: unknown) => ServerResponse;

const LOAD = "X-OL-Load";
/** Behind it and its value, where there is something new to say. */
const WARM = "X-OL-Warm";

let silent = false;
let calls = 0;

/**
 * As before where it reports; where not, it does nothing for it. Whoever calls pays the same for the question. What is not seen this way
 * is a look at what a connection was told last, some 30 ns.
 */
const unlessSilent = (written: () => string): (() => string) =>
  function text(this: unknown) {
    return silent ? "" : written.call(this);
  };

const withoutReport = (headers: unknown): unknown => {
  const at = Array.isArray(headers) ? headers.indexOf(LOAD) : -1;
  if (at < 0) return headers;
  calls += 1;
  const list = headers as unknown[];
  return silent ? list.toSpliced(at, list[at + 2] === WARM ? 4 : 2) : headers;
};

const usage = (): string => {
  const { user, system } = process.cpuUsage();
  return JSON.stringify({ calls, cpuUs: user + system });
};

const program = process.argv[1];
const socket = new URL(import.meta.url).searchParams.get("socket");
if (program !== undefined && socket !== null) {
  const path = createRequire(program).resolve("@ol/worker");
  const { prototype } = ((await import(pathToFileURL(path).href)) as { readonly Worker: Reporting }).Worker;
  // With other names this would measure nothing.
  if (typeof prototype.loadText !== "function" || typeof prototype.warmText !== "function")
    throw new Error("@ol/worker has no Worker.loadText and warmText");
  prototype.loadText = unlessSilent(prototype.loadText);
  prototype.warmText = unlessSilent(prototype.warmText);
  const responses = ServerResponse.prototype as unknown as { writeHead: WriteHead };
  const { writeHead } = responses;
  responses.writeHead = function without(this: ServerResponse, status, headers: unknown) {
    return writeHead.call(this, status, withoutReport(headers));
  };
  const server = createServer((connection) => {
    createInterface(connection).on("line", (line) => {
      silent = line === "0";
      connection.write(`${usage()}\n`);
    });
    // Whoever asked is gone: nobody has to be told.
    connection.on("error", () => connection.destroy());
  });
  server.listen(socket).unref();
}
