import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

import { expect, onTestFinished, test } from "vitest";

import { temporaryDirectory } from "../support/harness.ts";

const [TAKE_OVER, HAND_OVER] = [
  "../../python/take_over.py",
  "../../../../apps/worker/python/hand_over.py",
].map((file) => fileURLToPath(new URL(file, import.meta.url)));

/** Says what it was given, and answers one connection on the first socket. */
const SUCCESSOR = `import os, socket
fds = [int(fd) for fd in os.environ["OL_LISTEN_FDS"].split(",") if fd]
os.write(1, b"%d %d\\n" % (os.getuid(), len(fds)))
if fds:
    listener = socket.socket(fileno=fds[0])
    listener.setblocking(True)
    connection, _ = listener.accept()
    connection.sendall(b"here")
`;

const python = (
  script: string,
  args: readonly string[],
  fds: readonly (number | "pipe")[] = [],
): ChildProcess => {
  const child = spawn("python3", ["-I", "-S", script, ...args], {
    stdio: ["ignore", "pipe", "inherit", ...fds],
    env: { ...process.env, OL_READY_FD: "3" },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
};

/** A successor that waits at `path` for so long. */
const successor = async (path: string, seconds: number): Promise<ChildProcess> => {
  const command = ["python3", "-c", SUCCESSOR];
  const child = python(
    TAKE_OVER ?? "",
    [path, String(process.getuid?.()), String(seconds), "--", ...command],
    ["pipe"],
  );
  const [line] = await once(child.stdio[3] as Readable, "data");
  expect(String(line)).toBe("listening\n");
  return child;
};

const said = async (child: ChildProcess): Promise<string> =>
  String((await once(child.stdout as Readable, "data"))[0]);

test("a successor has the listening socket, and who was waiting in it", async () => {
  // Longer than an address can be.
  const path = join(temporaryDirectory(), "x".repeat(120), "worker-0.handover");
  mkdirSync(dirname(path));
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  const child = await successor(path, 20);
  const courier = python(HAND_OVER ?? "", [path, "1"], [fd]);
  expect(await once(courier, "exit")).toEqual([0, null]);
  expect(await said(child)).toBe(`${process.getuid?.()} 1\n`);
  const socket = connect({ port, host: "127.0.0.1" });
  // The kernel has accepted it by then, and nobody else.
  process.nextTick(() => server.close());
  const [data] = await once(socket, "data");
  expect(String(data)).toBe("here");
  expect(existsSync(path)).toBe(false);
});

test("a successor to whom nothing is handed over starts without it", async () => {
  const path = join(temporaryDirectory(), "worker-0.handover");
  expect(await said(await successor(path, 0.2))).toBe(`${process.getuid?.()} 0\n`);
  expect(existsSync(path)).toBe(false);
});

test("a successor follows nothing that stands in the way of its path", async () => {
  const directory = temporaryDirectory();
  const path = join(directory, "worker-0.handover");
  writeFileSync(join(directory, "precious"), "precious");
  symlinkSync("precious", path);
  const child = await successor(path, 0.2);
  await said(child);
  expect(readFileSync(join(directory, "precious"), "utf8")).toBe("precious");
});
