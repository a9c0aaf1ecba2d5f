import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";

import type { Host, ProbeEvent } from "./host.ts";
import type { Bait } from "./probes.ts";

const SHARED_DIRECTORIES = ["/tmp", "/dev/shm"];

/** Whether this kernel has Landlock's scopes (6.12), which close abstract sockets to others. */
export const hasLandlockScopes = (): boolean => {
  const ask =
    "import ctypes; libc = ctypes.CDLL(None); libc.syscall.restype = ctypes.c_long; " +
    "print(libc.syscall(ctypes.c_long(444), None, ctypes.c_size_t(0), ctypes.c_uint(1)))";
  return Number(execFileSync("python3", ["-I", "-S", "-c", ask], { encoding: "utf8" })) >= 6;
};

// In Python, since Node 20 has no abstract sockets.
const SERVERS = `
import socket, sys, threading
def serve(server):
    while True:
        client, _address = server.accept()
        client.sendall(sys.argv[2].encode())
        client.close()
abstract = socket.socket(socket.AF_UNIX)
abstract.bind("\\0" + sys.argv[1])
abstract.listen()
loopback = socket.socket()
loopback.bind(("127.0.0.1", 0))
loopback.listen()
threading.Thread(target=serve, args=(abstract,), daemon=True).start()
print(loopback.getsockname()[1], flush=True)
serve(loopback)
`;

/** Servers in the host's network namespace: an abstract one, and one on loopback, whose port it gives. */
const listen = async (
  host: Host,
  name: string,
  greeting: string,
): Promise<{ servers: ChildProcess; port: number }> => {
  const words = ["-I", "-S", "-c", SERVERS, name, greeting];
  const [program = "python3", ...before] = host.prefix;
  const all = host.prefix.length === 0 ? words : [...before, "python3", ...words];
  const servers = spawn(program, all, { stdio: ["ignore", "pipe", "inherit"] });
  const [data] = (await once(servers.stdout, "data")) as [Buffer];
  return { servers, port: Number(data.toString()) };
};

/** Puts on the host what probes look for; gives also what takes it away again. */
export const layBait = async (host: Host): Promise<{ bait: Bait; remove: () => Promise<void> }> => {
  const unique = `ol-bait-${process.pid}-${host.mode}`;
  const bait = {
    directory: host.directory,
    socketName: unique,
    socketPath: path.join(host.directory, "bait.sock"),
    greeting: "hello from the host",
    file: path.join(host.directory, "bait.txt"),
    content: `the content of ${unique}`,
    objects: unique,
    // A System V key, which must not be 0.
    key: 0x10_0000 + (process.pid & 0xffff) * 2 + (host.mode === "root" ? 1 : 0),
  };
  await writeFile(bait.file, bait.content, { mode: 0o644 });
  const atPath = createServer((socket) => socket.end(bait.greeting)).listen(bait.socketPath);
  await once(atPath, "listening");
  const { servers, port } = await listen(host, bait.socketName, bait.greeting);
  await chmod(bait.socketPath, 0o777);
  const objects = (probe: string): ProbeEvent => ({
    probe,
    key: bait.key,
    name: bait.objects,
    content: bait.content,
    directories: SHARED_DIRECTORIES,
  });
  const made = await host.probeOutside(objects("make-objects"), "user");
  if (!made.succeeded)
    throw new Error(`the host's shared objects could not be made: ${JSON.stringify(made)}`);
  const remove = async (): Promise<void> => {
    await host.probeOutside(objects("remove-objects"), "user");
    atPath.close();
    servers.kill();
  };
  return { bait: { ...bait, port }, remove };
};
