import type { NetworkClass } from "@ol/common";
import type { Sandbox } from "@ol/sandbox";

import { treesPssMb } from "../memory.ts";
import type { Peer } from "../peers/peer.ts";
import { acquire, type BenchPool, callHello, memoryForMb, startPool } from "../pool.ts";
import { Program } from "./program.ts";

/** One running sandbox, container or process. */
export interface Living {
  /** One call of code that is loaded. */
  call(): Promise<void>;
  /** Settles when nothing is left of it. */
  end(): Promise<void>;
}

/** A way to run a function. */
export interface Contender<L extends Living = Living> extends AsyncDisposable {
  readonly name: string;
  /** Whether others of its kind wait to be taken, whose memory would be counted as well. */
  readonly hasWaiting: boolean;
  /** Settles when its code is loaded. */
  start(): Promise<L>;
  /** Proportional memory of these, and of what they have in common, in MiB. */
  pssMb(living: readonly L[]): Promise<number>;
  /** Before anything is counted. */
  warmUp(): Promise<void>;
}

/** A sandbox as one of those. */
class LivingSandbox implements Living {
  readonly #sandbox: Sandbox;

  constructor(sandbox: Sandbox) {
    this.#sandbox = sandbox;
  }

  call(): Promise<void> {
    return callHello(this.#sandbox);
  }

  end(): Promise<void> {
    return this.#sandbox.destroy();
  }
}

class EngineContender implements Contender<LivingSandbox> {
  readonly name: string;
  readonly hasWaiting: boolean;
  readonly #pool: BenchPool;

  constructor(name: string, hasWaiting: boolean, pool: BenchPool) {
    this.name = name;
    this.hasWaiting = hasWaiting;
    this.#pool = pool;
  }

  async start(): Promise<LivingSandbox> {
    const sandbox = await acquire(this.#pool.pool, this.#pool.spec());
    await sandbox.ready;
    return new LivingSandbox(sandbox);
  }

  pssMb(): Promise<number> {
    return this.#pool.pssMb();
  }

  warmUp(): Promise<void> {
    return this.#pool.warmUp();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
  }
}

class LivingProgram implements Living {
  readonly program: Program;

  constructor(program: Program) {
    this.program = program;
  }

  call(): Promise<void> {
    return this.program.call();
  }

  end(): Promise<void> {
    return this.program.stop();
  }
}

class PeerContender implements Contender<LivingProgram> {
  readonly name: string;
  readonly hasWaiting = false;
  readonly #peer: Peer;

  constructor(peer: Peer) {
    this.name = peer.name;
    this.#peer = peer;
  }

  async start(): Promise<LivingProgram> {
    return new LivingProgram(await Program.start(this.#peer));
  }

  async pssMb(living: readonly LivingProgram[]): Promise<number> {
    const roots = await Promise.all(living.map(({ program }) => program.roots()));
    // The trees below this process hold other contenders' too, which do not change meanwhile.
    return treesPssMb(roots.flat(), process.pid);
  }

  async warmUp(): Promise<void> {
    const one = await this.start();
    await one.call();
    await one.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What was started ends with who started it.
  }
}

/** How an engine takes part: with processes, or containers, that wait, and without. */
const WAITING = [
  { label: "", prepared: 0 },
  { label: ", prepared", prepared: 2 },
] as const;

/** An engine, twice. */
export const engineContenders = async (
  engine: string,
  python: string,
  network: NetworkClass,
  sandboxes: number,
): Promise<readonly Contender[]> => {
  const made: Contender[] = [];
  try {
    for (const { label, prepared } of WAITING) {
      const name = `compare-${engine}-${prepared}`;
      const memoryMb = memoryForMb(sandboxes);
      const pool = await startPool({ name, engine, python, network, prepared, memoryMb });
      made.push(new EngineContender(`${engine}${label}`, prepared > 0, pool));
    }
    return made;
  } catch (error) {
    await Promise.all(made.map((one) => one[Symbol.asyncDispose]()));
    throw error;
  }
};

export const peerContender = (peer: Peer): Contender => new PeerContender(peer);
