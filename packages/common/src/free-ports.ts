import { createSocket } from "node:dgram";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";

const RANGE_FILE = "/proc/sys/net/ipv4/ip_local_port_range";
/** Lower ones are where people's services are. */
const LOWEST = 10_000;
const HIGHEST = 65_535;
const ATTEMPTS = 200;
/** What this machine may not have. */
const ABSENT: ReadonlySet<string | undefined> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL"]);

type Range = readonly [first: number, last: number];

const sizeOf = ([first, last]: Range): number => last - first + 1;

/**
 * Ports that the kernel gives to nobody by itself, neither for a connection nor for port 0; all of them where a machine leaves
 * none of those.
 */
const ungiven = async (count: number): Promise<Range> => {
  const [first = LOWEST, last = HIGHEST] = (await readFile(RANGE_FILE, "utf8"))
    .trim()
    .split(/\s+/u)
    .map(Number);
  const below: Range = [LOWEST, first - 1];
  const above: Range = [last + 1, HIGHEST];
  const larger = sizeOf(below) >= sizeOf(above) ? below : above;
  return sizeOf(larger) >= count ? larger : [LOWEST, HIGHEST];
};

/** Whether nobody listens there. */
const isFree = (host: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(ABSENT.has(error.code)));
    server.listen({ host, port, exclusive: true, ipv6Only: host.includes(":") }, () =>
      server.close(() => resolve(true)),
    );
  });

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
    if (release === undefined || !(await isFree("127.0.0.1", port)) || !(await isFree("::1", port))) {
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
  const [lowest, highest] = await ungiven(count);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const first = lowest + Math.floor(Math.random() * (highest - lowest + 2 - count));
    if (await claimRow(first, count)) return first;
  }
  throw new Error(`found no ${count} free ports in a row between ${lowest} and ${highest}`);
};
