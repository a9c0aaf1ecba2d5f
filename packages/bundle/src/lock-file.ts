import { badLock, headFault, type Lock, MAX_LOCK_BYTES, type Pin, pinFault, pinsFault } from "./lock.ts";
import { shown } from "./problems.ts";

const FORMAT = "# ol-lock 1";
const PYTHON = /^# python (?<python>\S+) (?<machine>\S+)$/u;
const REQUIREMENTS = /^# requirements (?<digest>\S+)$/u;
const PIN = /^(?<name>[^\s=]+)==(?<version>\S+) \\$/u;
const HASH = /^ {4}--hash=sha256:(?<hash>[0-9a-f]{64})(?<more> \\)?$/u;
const REQUIRES = /^ {4}# requires (?<names>\S+(?:, \S+)*)$/u;

/**
 * Writes a lock as a requirements file that pip and uv take with --require-hashes; pins, hashes and names are sorted. Fails
 * with OL_BUNDLE_BAD_LOCK if it is none: parseLock would not take it.
 */
export const formatLock = (lock: Lock): string => {
  const pins = lock.pins.map(sorted).sort((one, other) => (one.name < other.name ? -1 : 1));
  const fault = headFault(lock) ?? pinsFault(pins);
  if (fault !== undefined) throw badLock(`not a lock: ${fault}`);
  const head = [FORMAT, `# python ${lock.python} ${lock.machine}`, `# requirements ${lock.requirements}`];
  return `${[...head, ...pins.flatMap(linesOf)].join("\n")}\n`;
};

/**
 * Reads what formatLock wrote, to the byte; anything else fails with OL_BUNDLE_BAD_LOCK. `file` is how messages call it.
 */
export const parseLock = (text: string, file = "the lock"): Lock => new LockReader(text, file).lock();

const sorted = (pin: Pin): Pin => {
  const { name, version } = pin;
  const ordered = { name, version, hashes: [...pin.hashes].sort(), requires: [...pin.requires].sort() };
  const fault = pinFault(ordered);
  if (fault !== undefined) throw badLock(`not a pin, ${shown(name)} ${shown(version)}: ${fault}`);
  return ordered;
};

const linesOf = ({ name, version, hashes, requires }: Pin): string[] => {
  const lines = [`${name}==${version}`, ...hashes.map((hash) => `    --hash=sha256:${hash}`)];
  const joined = [lines.join(" \\\n")];
  return requires.length === 0 ? joined : [...joined, `    # requires ${requires.join(", ")}`];
};

/** Goes through a lock line by line. */
class LockReader {
  readonly #file: string;
  readonly #lines: readonly string[];
  #at = 0;

  constructor(text: string, file: string) {
    this.#file = file;
    if (Buffer.byteLength(text) > MAX_LOCK_BYTES)
      throw badLock(`${file}:1: is larger than ${MAX_LOCK_BYTES / 1024 / 1024} MiB`);
    this.#lines = text.split("\n");
  }

  lock(): Lock {
    if (this.#lines[0] !== FORMAT) throw this.#fault(`is not ${shown(FORMAT)}`);
    this.#at = 1;
    const { python = "", machine = "" } = this.#take(PYTHON);
    const { digest = "" } = this.#take(REQUIREMENTS);
    const head = { python, machine, requirements: digest };
    this.#check(headFault(head));
    const pins: Pin[] = [];
    while (this.#at < this.#lines.length - 1) pins.push(this.#pin());
    if (this.#lines[this.#at] !== "") throw this.#fault("does not end the line");
    this.#check(pinsFault(pins));
    return { ...head, pins };
  }

  #pin(): Pin {
    const { name = "", version = "" } = this.#take(PIN);
    const hashes: string[] = [];
    for (let more: string | undefined = "\\"; more !== undefined;) {
      const taken = this.#take(HASH);
      hashes.push(taken["hash"] ?? "");
      more = taken["more"];
    }
    const requires =
      this.#match(REQUIRES) === undefined ? [] : (this.#take(REQUIRES)["names"] ?? "").split(", ");
    const pin = { name, version, hashes, requires };
    this.#check(pinFault(pin));
    return pin;
  }

  #match(pattern: RegExp): Partial<Record<string, string>> | undefined {
    return pattern.exec(this.#lines[this.#at] ?? "")?.groups;
  }

  #take(pattern: RegExp): Partial<Record<string, string>> {
    const found = this.#match(pattern);
    if (found === undefined) throw this.#fault(`does not belong here: ${shown(this.#lines[this.#at] ?? "")}`);
    this.#at += 1;
    return found;
  }

  /** `fault` is what is wrong with what was taken last. */
  #check(fault: string | undefined): void {
    this.#at -= 1;
    if (fault !== undefined) throw this.#fault(fault);
    this.#at += 1;
  }

  #fault(what: string): Error {
    return badLock(`${this.#file}:${this.#at + 1}: ${what}`);
  }
}
