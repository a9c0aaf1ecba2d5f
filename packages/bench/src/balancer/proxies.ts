import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";

import { freePorts } from "@ol/common";

import { benchError } from "../errors.ts";
import { firstLine, startHelper, untilListens } from "../process.ts";

/** A proxy in front of one server, in one process. */
export interface BenchProxy extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly pid: number;
}

const readyTimeoutMs = 30_000;
/** More than the load generator's connections. */
export const MANY_SLOTS = 256;

const nginxConfig = (directory: string, port: number, upstream: number): string => `
daemon off;
master_process off;
pid ${directory}/pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 100000000;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${directory}/${kind};`).join("\n  ")}
  upstream worker { server 127.0.0.1:${upstream}; keepalive ${MANY_SLOTS}; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://worker;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
`;

const haproxyConfig = (_: string, port: number, upstream: number): string => `
global
  maxconn 1024
  nbthread 1
defaults
  mode http
  option forwardfor
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend clients
  bind 127.0.0.1:${port}
  default_backend workers
backend workers
  server worker 127.0.0.1:${upstream}
`;

const startOther = async (
  name: string,
  command: string,
  args: readonly string[],
  config: (directory: string, port: number, upstream: number) => string,
  upstream: number,
): Promise<BenchProxy> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-bench-proxy-"));
  const port = await freePorts();
  const file = join(directory, "config");
  await writeFile(file, config(directory, port, upstream));
  const helper = startHelper(command, [...args, file], { stdio: ["ignore", "ignore", "pipe"] });
  const stop = async (): Promise<void> => {
    await helper.stop();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await untilListens(port, helper, name, readyTimeoutMs);
  } catch (error) {
    await stop();
    throw error;
  }
  return { name, port, pid: helper.child.pid ?? 0, [Symbol.asyncDispose]: stop };
};

export const startNginx = (upstream: number): Promise<BenchProxy> =>
  startOther("nginx", "nginx", ["-c"], nginxConfig, upstream);

export const startHaproxy = (upstream: number): Promise<BenchProxy> =>
  startOther("HAProxy", "haproxy", ["-db", "-q", "-f"], haproxyConfig, upstream);

/** Finds the balancer's program by its package, as ol-admin does. */
const balancerProgram = async (): Promise<string> => {
  const manifestPath = createRequire(import.meta.url).resolve("ol-balancer/package.json");
  const manifest = JSON.parse(await readFile(manifestPath, "utf8")) as { bin: Record<string, string> };
  return join(dirname(manifestPath), manifest.bin["ol-balancer"] ?? "");
};

/** Starts `ol-balancer` on a free port. `settings` are keys of its configuration besides. */
export const startBalancer = async (
  workers: readonly { readonly url: string; readonly slots: number }[],
  settings: Readonly<Record<string, unknown>> = {},
): Promise<BenchProxy> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-bench-balancer-"));
  const file = join(directory, "load_balancer.json");
  await writeFile(
    file,
    JSON.stringify({ port: 0, workers, log_output: join(directory, "log"), ...settings }),
  );
  // By env, which becomes it.
  const command = ["OL_READY_FD=3", process.execPath, await balancerProgram(), "--config", file];
  const helper = startHelper("env", command, { stdio: ["ignore", "ignore", "pipe", "pipe"] });
  const stop = async (): Promise<void> => {
    await helper.stop();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const line = await firstLine(helper, helper.child.stdio[3] as Readable, "ol-balancer", readyTimeoutMs);
    if (!line.startsWith("ready "))
      throw benchError("OL_BENCH_HELPER_FAILED", `ol-balancer did not start: ${line}`);
    const port = Number(new URL(line.slice("ready ".length)).port);
    return { name: "ol-balancer", port, pid: helper.child.pid ?? 0, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
};
