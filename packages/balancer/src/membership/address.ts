import { balancerError } from "../errors.ts";
import type { WorkerAddress } from "../options.ts";

const ID = /^[A-Za-z0-9._:[\]-]{1,200}$/u;
const MOST_SLOTS = 10_000;

/** Why it is no worker's address, to be put behind its name; undefined if it is one. */
export const addressProblem = ({ id, url, slots }: WorkerAddress): string | undefined => {
  if (id !== undefined && !ID.test(id)) return `id: ${JSON.stringify(id)} is none`;
  if (slots !== undefined && !(Number.isSafeInteger(slots) && slots >= 1 && slots <= MOST_SLOTS))
    return `slots: ${slots} is no whole number from 1 to ${MOST_SLOTS}`;
  if (!URL.canParse(url)) return `url: ${JSON.stringify(url)} is no URL such as http://10.0.0.7:8080`;
  const { protocol, pathname, search, hash, username, password } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") return `url: ${protocol} is neither http: nor https:`;
  if (username !== "" || password !== "") return "url: it has a user name or a password";
  if (pathname !== "/" || search !== "" || hash !== "")
    return "url: there is something behind its host and port";
  return undefined;
};

/** The address. Fails with OL_BALANCER_BAD_OPTION if it is none. */
export const checkedAddress = (address: WorkerAddress): WorkerAddress => {
  const problem = addressProblem(address);
  if (problem === undefined) return address;
  throw balancerError("OL_BALANCER_BAD_OPTION", `workers: ${problem}`);
};

/** What a worker without a given id is called: its host and port. */
export const idOf = ({ id, url }: WorkerAddress): string => id ?? new URL(url).host;

/**
 * A list of workers from JSON: URLs, or objects {id, url, slots}. The reason, as text, if it is none. Fields that are not
 * known are passed over.
 */
export const readAddresses = (value: unknown): readonly WorkerAddress[] | string => {
  if (!Array.isArray(value)) return "it is no list of workers";
  const addresses: WorkerAddress[] = [];
  const ids = new Set<string>();
  for (const [at, one] of (value as readonly unknown[]).entries()) {
    const address = readAddress(one);
    if (address === undefined) return `[${at}] is neither a URL nor an object with a url`;
    const problem = addressProblem(address);
    if (problem !== undefined) return `[${at}] ${problem}`;
    if (ids.has(idOf(address))) return `[${at}] is there twice: ${idOf(address)}`;
    ids.add(idOf(address));
    addresses.push(address);
  }
  return addresses;
};

const readAddress = (value: unknown): WorkerAddress | undefined => {
  if (typeof value === "string") return { url: value };
  if (typeof value !== "object" || value === null) return undefined;
  const { id, url, slots } = value as Readonly<Record<string, unknown>>;
  if (typeof url !== "string") return undefined;
  return {
    url,
    ...(typeof id === "string" && { id }),
    ...(typeof slots === "number" && { slots }),
  };
};
