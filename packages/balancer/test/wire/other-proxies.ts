import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Another proxy in front of one worker. It listens on a socket in the file system. */
export interface OtherProxy extends AsyncDisposable {
  readonly socket: string;
}

const nginxConfig = (directory: string, port: number): string => `
daemon on;
worker_processes 1;
pid ${directory}/pid;
error_log ${directory}/error.log;
${process.getuid?.() === 0 ? "user root;" : ""}
events { worker_connections 256; }
http {
  access_log off;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${directory}/${kind};`).join("\n  ")}
  upstream worker { server 127.0.0.1:${port}; keepalive 16; }
  server {
    listen unix:${directory}/socket;
    location / {
      proxy_pass http://worker;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
    }
  }
}
`;

const haproxyConfig = (directory: string, port: number): string => `
global
  maxconn 256
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend clients
  bind unix@${directory}/socket
  default_backend workers
backend workers
  server worker 127.0.0.1:${port}
`;

/** Both go into the background once they listen. */
const start = async (
  config: (directory: string, port: number) => string,
  command: (directory: string) => readonly [string, ...string[]],
  port: number,
): Promise<OtherProxy> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-proxy-"));
  await writeFile(join(directory, "config"), config(directory, port));
  const [program, ...args] = command(directory);
  await run(program, args, { timeout: 20_000 });
  return {
    socket: join(directory, "socket"),
    async [Symbol.asyncDispose]() {
      const pid = Number(await readFile(join(directory, "pid"), "utf8"));
      process.kill(pid, "SIGTERM");
      await gone(pid);
      await rm(directory, { recursive: true });
    },
  };
};

/** It is no child of ours, so nobody tells. */
const gone = async (pid: number): Promise<void> => {
  for (let look = 0; look < 200; look += 1) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  process.kill(pid, "SIGKILL");
};

/** nginx, with what a balancer's place asks for: connections kept, the client's Host. */
export const startNginx = (port: number): Promise<OtherProxy> =>
  start(nginxConfig, (directory) => ["nginx", "-p", directory, "-c", join(directory, "config")], port);

/** HAProxy, as it comes. */
export const startHaproxy = (port: number): Promise<OtherProxy> =>
  start(
    haproxyConfig,
    (directory) => ["haproxy", "-D", "-q", "-f", join(directory, "config"), "-p", join(directory, "pid")],
    port,
  );
