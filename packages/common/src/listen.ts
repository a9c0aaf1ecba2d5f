import { lookup } from "node:dns/promises";
import { type AddressInfo, type Server, isIP } from "node:net";

import { messageOf } from "./errors.ts";
import type { Logger } from "./logger.ts";

/** How a server's package says that it cannot listen: its errors, and what it calls its port. */
export interface ListenFaults {
  /** The key of the configuration: `worker_port`. */
  readonly portKey: string;
  readonly portInUse: (message: string, cause: unknown) => Error;
  readonly cannotListen: (message: string, cause: unknown) => Error;
}

/** With port 0 the second address may be in use on the port that the first one got. */
const ATTEMPTS = 10;

const errnoOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

const listenOn = (server: Server, host: string, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const failed = (error: Error): void => reject(error);
    server.once("error", failed);
    // ipv6Only: `::1` must not take an IPv4 address with it, nor `::` fail where IPv4 has the port.
    server.listen({ host, port, ipv6Only: host.includes(":") && host !== "::" }, () => {
      server.off("error", failed);
      resolve((server.address() as AddressInfo).port);
    });
  });

const closed = (server: Server): Promise<void> => new Promise((resolve) => server.close(() => resolve()));

const listenFault = (error: unknown, host: string, port: number, faults: ListenFaults): Error => {
  const where = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  const { portKey, portInUse, cannotListen } = faults;
  switch (errnoOf(error)) {
    case "EADDRINUSE":
      return portInUse(
        `port ${port} is in use: something listens on ${where}; choose another ${portKey} or stop it`,
        error,
      );
    case "EACCES":
      return cannotListen(
        `cannot listen on ${where}: ports below 1024 need privileges; choose a higher ${portKey}`,
        error,
      );
    default:
      return cannotListen(`cannot listen on ${where}: ${messageOf(error)}`, error);
  }
};

/** What this machine simply does not have: an address family that is switched off, an address of another machine. */
const ABSENT: ReadonlySet<string | undefined> = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL"]);

/** The servers that listen, and on which port. */
export interface Listening<S extends Server> {
  readonly servers: readonly S[];
  readonly port: number;
}

/** What to listen on, and how to say so. */
export interface ListenOptions<S extends Server> {
  /** The first must be there; the others may be missing on this machine. */
  readonly addresses: readonly string[];
  /** 0 is any that is free on all of them. */
  readonly port: number;
  readonly logger: Logger;
  readonly faults: ListenFaults;
  /** Servers that listen already, by address. */
  readonly inherited?: ReadonlyMap<string, S>;
}

const listenOnce = async <S extends Server>(
  makeServer: () => S,
  { addresses, port: wanted, logger, faults, inherited }: ListenOptions<S>,
): Promise<Listening<S>> => {
  const servers: S[] = [];
  let port = wanted;
  for (const [index, host] of addresses.entries()) {
    const there = inherited?.get(host);
    if (there !== undefined) {
      servers.push(there);
      continue;
    }
    const server = makeServer();
    try {
      port = await listenOn(server, host, port);
      servers.push(server);
    } catch (error) {
      if (index > 0 && ABSENT.has(errnoOf(error))) {
        logger.warn("an address is not there, going on without it", {
          address: host,
          error: messageOf(error),
        });
        continue;
      }
      await Promise.all(servers.map((made) => closed(made)));
      throw listenFault(error, host, port, faults);
    }
  }
  return { servers, port };
};

/**
 * Servers on sockets that listen already, by the address of `addresses` that each is for; those that are for none, or are on
 * another port, are closed. Fails with `faults.cannotListen` if one is no listening socket.
 */
export const adopt = async <S extends Server>(
  makeServer: () => S,
  fds: readonly number[],
  { addresses, port, faults }: Pick<ListenOptions<S>, "addresses" | "port" | "faults">,
): Promise<ReadonlyMap<string, S>> => {
  const adopted = new Map<string, S>();
  for (const fd of fds) {
    const server = makeServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => reject(adoptionFault(error, fd, faults)));
      server.listen({ fd }, resolve);
    });
    const there = server.address() as AddressInfo;
    const host = there.port === port ? await hostOf(there.address, addresses) : undefined;
    if (host === undefined) await closed(server);
    else adopted.set(host, server);
  }
  return adopted;
};

/** Which of `addresses` means this one. */
const hostOf = async (address: string, addresses: readonly string[]): Promise<string | undefined> => {
  for (const host of addresses) {
    if (host === address) return host;
    // Resolved as listening on it would.
    if (isIP(host) === 0 && (await lookup(host)).address === address) return host;
  }
  return undefined;
};

const adoptionFault = (error: unknown, fd: number, { cannotListen }: ListenFaults): Error =>
  cannotListen(`cannot listen on descriptor ${fd}, which was handed over: ${messageOf(error)}`, error);

/**
 * Listens with one server an address, all on the same port. For those of `inherited` that is done already. Fails with what `faults` makes,
 * and then listens on none.
 */
export const listenAll = async <S extends Server>(
  makeServer: () => S,
  options: ListenOptions<S>,
): Promise<Listening<S>> => {
  const { addresses, port, faults } = options;
  let inUse = false;
  // Errors are the caller's own; this one has to be told from the others.
  const noticing: ListenFaults = {
    ...faults,
    portInUse: (message, cause) => {
      inUse = true;
      return faults.portInUse(message, cause);
    },
  };
  for (let attempt = 1; ; attempt += 1) {
    inUse = false;
    try {
      return await listenOnce(makeServer, { ...options, faults: noticing });
    } catch (error) {
      if (!inUse || port !== 0 || addresses.length === 1 || attempt === ATTEMPTS) throw error;
    }
  }
};
