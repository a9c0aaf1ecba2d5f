// Stands in for ol-worker where a test is about ol-admin: same arguments, same ready line, no sandboxes.
import { appendFileSync, readFileSync, writeSync } from "node:fs";
import { createServer } from "node:http";
import { Socket } from "node:net";
import { dirname, join } from "node:path";

const [verb] = process.argv.slice(2);
const file = process.argv[process.argv.indexOf("--config") + 1];
const behaviour = process.env.FAKE_WORKER ?? "";

const say = (line) => {
  if (process.env.OL_READY_FD !== undefined) writeSync(Number(process.env.OL_READY_FD), `${line}\n`);
};

/** A successor waits until it is told to begin, and ends with whoever would tell it. */
const permission = () =>
  new Promise((resolve) => {
    if (process.env.OL_GO_FD === undefined) return resolve();
    say("waiting");
    const pipe = new Socket({ fd: Number(process.env.OL_GO_FD), readable: true, writable: false });
    let told = false;
    pipe.on("data", () => {
      told = true;
      resolve();
    });
    pipe.on("end", () => told || process.exit(0));
  });

if (verb === "sweep") {
  if (behaviour === "sweep-fails") {
    process.stderr.write("the sandbox directory is in use\n");
    process.exit(1);
  }
  appendFileSync(join(dirname(file), "..", "logs", "swept"), `${file}\n`);
  process.stdout.write('{"removed": 0}\n');
} else if (verb === "doctor") {
  const checks = [
    { name: "python", ok: behaviour !== "no-python", detail: "3.11 at /usr/bin/python3" },
    { name: "sandbox", ok: true, detail: "one was made\u001b[31m" },
  ];
  if (process.argv.includes("--config")) checks.push({ name: "configuration", ok: true, detail: file });
  const optional = [{ name: "network outbound", ok: false, detail: "there is no nft" }];
  process.stdout.write(
    JSON.stringify({ checks, optional, enforcement: { memory: "cgroup-v1", notes: ["a note"] } }),
  );
  process.exitCode = behaviour === "no-python" ? 1 : 0;
} else if (verb === "base") {
  const checks = [{ name: "base", ok: behaviour !== "bad-base", detail: "/base\u001b[31m" }];
  if (process.argv.includes("--config")) checks.push({ name: "configuration", ok: true, detail: file });
  const optional = [{ name: "sqlite3", ok: false, detail: "ModuleNotFoundError" }];
  process.stdout.write(JSON.stringify({ base: "/base", checks, optional }));
  process.exitCode = behaviour === "bad-base" ? 1 : 0;
} else if (behaviour === "says-error") {
  say("error port 1 is not allowed\u001b[31m");
  process.exit(1);
} else if (behaviour === "dies") {
  process.stderr.write('{"level":"error","message":"out of luck"}\n');
  process.exit(1);
} else if (behaviour === "hangs") {
  setInterval(() => undefined, 1000);
} else {
  const config = JSON.parse(readFileSync(file, "utf8"));
  const sandboxes = [{ id: "s1", lambda: "hello", state: "idle", ageMs: 12_000, memoryMb: 12.4 }];
  const server = createServer((request, response) => {
    if (request.url === "/status") response.end("ready\n");
    else if (request.url === "/stats")
      response.end(JSON.stringify({ sandboxes, environment: process.env.OL_WORKER_PORT ?? "" }));
    else if (request.url === "/run/fails") {
      response.statusCode = 500;
      response.end("Traceback:\u001b[31m\n  boom");
    } else request.pipe(response);
  });
  process.on("SIGTERM", () => {
    if (behaviour !== "stubborn") process.exit(0);
  });
  await permission();
  server.listen(Number(config.worker_port), "127.0.0.1", () =>
    say(`ready http://localhost:${config.worker_port}`),
  );
}
