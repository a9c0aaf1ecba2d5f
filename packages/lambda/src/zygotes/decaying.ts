/** A sum of gains, of which one `tauMs` ago counts as 1/e of one now. */
export class Decaying {
  #sum: number;
  #atMs: number;

  constructor(sum: number, nowMs: number) {
    this.#sum = sum;
    this.#atMs = nowMs;
  }

  at(nowMs: number, tauMs: number): number {
    return this.#sum * Math.exp((this.#atMs - nowMs) / tauMs);
  }

  add(gain: number, nowMs: number, tauMs: number): void {
    this.#sum = this.at(nowMs, tauMs) + gain;
    this.#atMs = nowMs;
  }
}
