/** Something that waits for a place. */
export interface Waiting {
  readonly name: string;
}

/** One function's calls. */
interface Line<Item> {
  readonly name: string;
  /** Calls that have a worker. */
  running: number;
  /** Calls that wait, first in, first out; a Set, so that any can leave. */
  readonly waiting: Set<Item>;
}

/**
 * Calls that wait for a worker, by function. The next one is of the function that has the fewest calls on workers, so that
 * places are shared equally among the functions that want them, whatever the calls of each take (max-min fairness).
 * A function without a call that waits or runs takes no memory.
 */
export class FairQueue<Item extends Waiting> {
  readonly #lines = new Map<string, Line<Item>>();
  /** Lines in which calls wait, by how many calls of theirs run; those that have waited longest for their turn come first. */
  readonly #turns = new Map<number, Set<Line<Item>>>();
  /** No line with fewer running calls waits. */
  #fewest = 0;
  readonly #mostRunning: number;
  #size = 0;

  /** A function may have `mostRunning` calls on workers. */
  constructor(mostRunning: number) {
    this.#mostRunning = mostRunning;
  }

  /** Calls that wait. */
  get size(): number {
    return this.#size;
  }

  /** Calls of that function that wait, and that run. */
  counts(name: string): { readonly waiting: number; readonly running: number } {
    const line = this.#lines.get(name);
    return { waiting: line?.waiting.size ?? 0, running: line?.running ?? 0 };
  }

  /** Whether a call of the function can have a place without overtaking another one of it. */
  mayPass(name: string): boolean {
    const line = this.#lines.get(name);
    return line === undefined || (line.waiting.size === 0 && line.running < this.#mostRunning);
  }

  /** `first`: before the others of its function. */
  add(item: Item, first = false): void {
    const line = this.#lineOf(item.name);
    const later = first ? [...line.waiting] : [];
    if (first) line.waiting.clear();
    line.waiting.add(item);
    for (const one of later) line.waiting.add(one);
    this.#size += 1;
    if (line.waiting.size === 1) this.#enqueue(line);
  }

  /** It waits no longer. Whether it did. */
  remove(item: Item): boolean {
    const line = this.#lines.get(item.name);
    if (line?.waiting.delete(item) !== true) return false;
    this.#size -= 1;
    if (line.waiting.size === 0) this.#dequeue(line);
    this.#forgetIfEmpty(line);
    return true;
  }

  /** The next one, which waits no longer; undefined if nobody may have a place. */
  take(): Item | undefined {
    const line = this.#nextLine();
    if (line === undefined) return undefined;
    const [item] = line.waiting;
    this.remove(item as Item);
    return item;
  }

  /** A call of the function has got a place. */
  began(name: string): void {
    this.#run(this.#lineOf(name), 1);
  }

  /** A call of the function has given its place back. */
  ended(name: string): void {
    const line = this.#lineOf(name);
    this.#run(line, -1);
    this.#forgetIfEmpty(line);
  }

  /** How many calls will have gone before one more of this function, as far as functions take turns. */
  ahead(name: string): number {
    const own = this.counts(name).waiting + 1;
    let ahead = 0;
    for (const { waiting } of this.#lines.values()) ahead += Math.min(waiting.size, own);
    return ahead;
  }

  /** Everybody who waits; nobody does afterwards. */
  takeAll(): Item[] {
    const all = [...this.#lines.values()].flatMap(({ waiting }) => [...waiting]);
    for (const item of all) this.remove(item);
    return all;
  }

  #lineOf(name: string): Line<Item> {
    let line = this.#lines.get(name);
    if (line === undefined) {
      line = { name, running: 0, waiting: new Set() };
      this.#lines.set(name, line);
    }
    return line;
  }

  #run(line: Line<Item>, by: number): void {
    const waits = line.waiting.size > 0;
    if (waits) this.#dequeue(line);
    line.running += by;
    if (waits) this.#enqueue(line);
  }

  #enqueue(line: Line<Item>): void {
    const turn = this.#turns.get(line.running);
    if (turn === undefined) this.#turns.set(line.running, new Set([line]));
    else turn.add(line);
    this.#fewest = Math.min(this.#fewest, line.running);
  }

  #dequeue(line: Line<Item>): void {
    const turn = this.#turns.get(line.running);
    turn?.delete(line);
    if (turn?.size === 0) this.#turns.delete(line.running);
  }

  #nextLine(): Line<Item> | undefined {
    if (this.#turns.size === 0) return undefined;
    // It has risen by no more than calls have begun since.
    while (!this.#turns.has(this.#fewest)) this.#fewest += 1;
    if (this.#fewest >= this.#mostRunning) return undefined;
    const [line] = this.#turns.get(this.#fewest) ?? [];
    return line;
  }

  #forgetIfEmpty(line: Line<Item>): void {
    if (line.running === 0 && line.waiting.size === 0) this.#lines.delete(line.name);
  }
}
