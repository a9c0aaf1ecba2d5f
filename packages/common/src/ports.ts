import { createSocket } from "node:dgram";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";

const RANGE_FILE = "/proc/sys/net/ipv4/ip_local_port_range";
/** Lower ones are where people's services are. */
const LOWEST = 10_000;
const HIGHEST = 65_535;
const ATTEMPTS = 200;
const LOOPBACK = ["127.0.0.1", "::1"];

type Range = readonly [first: number, last: number];

const sizeOf = ([first, last]: Range): number => last - first + 1;

/** Ports that the kernel gives to nobody by itself, neither for a connection nor for port 0; a machine may leave few, or none. */
const ungiven = async (): Promise<Range> => {
  const [first = LOWEST, last = HIGHEST] = (await readFile(RANGE_FILE, "utf8"))
    .trim()
    .split(/\s+/u)
    .map(Number);
  const below: Range = [LOWEST, first - 1];
  const above: Range = [last + 1, HIGHEST];
  return sizeOf(below) >= sizeOf(above) ? below : above;
};

const canListen = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "EADDRINUSE"));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });

/** Whether nobody listens on `port` at any of the addresses. Other failures are left to whoever listens there to tell. */
export const isPortFree = async (addresses: readonly string[], port: number): Promise<boolean> => {
  for (const address of addresses) if (!(await canListen(address, port))) return false;
  return true;
};

/** Takes the UDP port of that number as a sign to others, for as long as this process lives; undefined if it is taken. */
const claim = (port: number): Promise<(() => void) | undefined> =>
  new Promise((resolve) => {
    const socket = createSocket("udp4").unref();
    socket.once("error", () => {
      socket.close();
      resolve(undefined);
    });
    socket.bind({ address: "127.0.0.1", port, exclusive: true }, () => resolve(() => socket.close()));
  });

const claimRow = async (first: number, count: number): Promise<boolean> => {
  const giveUp: (() => void)[] = [];
  for (let port = first; port < first + count; port += 1) {
    const release = await claim(port);
    if (release !== undefined) giveUp.push(release);
    if (release === undefined || !(await isPortFree(LOOPBACK, port))) {
      for (const one of giveUp) one();
      return false;
    }
  }
  return true;
};

/**
 * The first of `count` ports in a row on which nobody listens at 127.0.0.1 and ::1, for a program that has to be told one.
 * Whoever asks here gets others, on the whole machine, until this process ends. A port that was asked of the kernel (0) and given
 * back is the kernel's to give again: before its program listens there, it may be the end of somebody's connection.
 */
export const freePorts = async (count = 1): Promise<number> => {
  for (const range of [await ungiven(), [LOWEST, HIGHEST] as const]) {
    const rows = sizeOf(range) + 1 - count;
    const attempts = rows > 0 ? ATTEMPTS : 0;
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const first = range[0] + Math.floor(Math.random() * rows);
      if (await claimRow(first, count)) return first;
    }
  }
  throw new Error(`found no ${count} free ports in a row between ${LOWEST} and ${HIGHEST}`);
};
