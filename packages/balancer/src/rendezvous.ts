/** 32 bits of a text (FNV-1a, its low bits mixed by MurmurHash3's last step, so that texts which differ little differ much). */
export const hash32 = (text: string): number => {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return mixed(hash);
};

const mixed = (value: number): number => {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
};

/** What rendezvous hashing knows of a worker. */
export interface Seeded {
  /** hash32 of its id. */
  readonly seed: number;
  /** How large its share of the keys is, beside others': its slots. */
  readonly weight: number;
}

const TWO_TO_32 = 0x1_0000_0000;

/**
 * The order in which workers are to hold a key: everybody who knows the same workers finds the same, and one that comes or
 * goes changes nothing in the order of the others (Thaler and Ravishankar 1998; weighted as Schindelhauer and
 * Schomaker 2005 do: a worker with twice the weight comes first for twice as many keys).
 */
export const rendezvousOrder = <Worker extends Seeded>(
  key: string,
  workers: readonly Worker[],
): readonly Worker[] => {
  const keyHash = hash32(key);
  const scored = workers.map((worker) => ({ worker, score: score(keyHash, worker) }));
  scored.sort((one, other) => other.score - one.score || one.worker.seed - other.worker.seed);
  return scored.map(({ worker }) => worker);
};

const score = (keyHash: number, { seed, weight }: Seeded): number =>
  weight / -Math.log((mixed(keyHash ^ seed) + 0.5) / TWO_TO_32);

/** So many places in kept orders, over all keys: some 16 MiB. */
const MOST_PLACES = 2_000_000;
const LEAST_KEYS = 64;

/** Orders by key, kept while the workers stay the same; those of keys that were not asked for longest go first. */
export class RendezvousOrders<Worker extends Seeded> {
  #workers: readonly Worker[] = [];
  readonly #orders = new Map<string, readonly Worker[]>();
  readonly #mostPlaces: number;

  constructor(mostPlaces: number = MOST_PLACES) {
    this.#mostPlaces = mostPlaces;
  }

  /** `workers` is the same array as long as they are the same workers with the same weights. */
  of(key: string, workers: readonly Worker[]): readonly Worker[] {
    if (workers !== this.#workers) {
      this.#workers = workers;
      this.#orders.clear();
    }
    let order = this.#orders.get(key);
    if (order === undefined) {
      order = rendezvousOrder(key, workers);
      if (this.#orders.size >= Math.max(this.#mostPlaces / workers.length, LEAST_KEYS)) this.#dropOldest();
    } else this.#orders.delete(key);
    this.#orders.set(key, order);
    return order;
  }

  #dropOldest(): void {
    for (const key of this.#orders.keys()) {
      this.#orders.delete(key);
      return;
    }
  }
}
