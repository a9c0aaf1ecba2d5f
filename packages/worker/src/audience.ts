import type { Socket } from "node:net";

/** A proxy that shows no proof looks after this worker in its own way: one that has asked nothing for so long does not. */
const OTHERS_SEEN_MS = 5_000;
/** Three of its checks, one every 2 s, and a second for the last one's answer: what HAProxy is told to do, and our balancer does. */
const OTHERS_MS = 7_000;
/** A balancer of ours asks for the state every second; one that has not in this time does not look after this worker any more. */
const BALANCERS_MS = 2_000;
/** What it had sent before it heard of it is here by then. */
const MARGIN_MS = 250;

/** A load balancer that is there as long as a connection of it is. */
interface Balancer {
  readonly sockets: Set<Socket>;
  /** It has asked since the worker leaves. */
  told: boolean;
}

/** Who sends calls to a worker because of what it reports, and so has to hear of it before the worker refuses any. */
export class Audience {
  readonly #balancers = new Map<string, Balancer>();
  #othersMs = Number.NEGATIVE_INFINITY;
  #leaving = false;
  #changed: (() => void) | undefined;

  /** A request of a load balancer, by its id, came on this connection. `told`: the answer says at once whether the worker leaves. */
  balancer(id: string, socket: Socket, told: boolean): void {
    let balancer = this.#balancers.get(id);
    if (balancer === undefined) {
      balancer = { sockets: new Set(), told: false };
      this.#balancers.set(id, balancer);
    }
    if (!balancer.sockets.has(socket)) this.#connected(id, balancer, socket);
    if (!this.#leaving || !told) return;
    balancer.told = true;
    this.#changed?.();
  }

  /** A request of another proxy that is trusted came. */
  other(): void {
    this.#othersMs = performance.now();
  }

  /** Settles when all of them know that the worker leaves, which every answer says from now on, or would by now. At once if there is nobody. */
  async hasHeard(): Promise<void> {
    this.#leaving = true;
    if (performance.now() - this.#othersMs <= OTHERS_SEEN_MS) return wait(OTHERS_MS);
    if (this.#balancers.size === 0) return;
    await this.#allTold();
    // None of them may be left by now, and then there is nothing on its way.
    if (this.#balancers.size > 0) await wait(MARGIN_MS);
  }

  #connected(id: string, balancer: Balancer, socket: Socket): void {
    balancer.sockets.add(socket);
    socket.once("close", () => {
      balancer.sockets.delete(socket);
      if (balancer.sockets.size > 0) return;
      this.#balancers.delete(id);
      this.#changed?.();
    });
  }

  #allTold(): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#changed = undefined;
        resolve();
      };
      const timer = setTimeout(end, BALANCERS_MS);
      this.#changed = () => {
        if ([...this.#balancers.values()].every(({ told }) => told)) end();
      };
      this.#changed();
    });
  }
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
