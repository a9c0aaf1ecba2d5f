/** Ends what no longer gets on, without a limit for what does. */
export class Patience implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  /** `silentMs`: for so long nothing may be heard. */
  constructor(silentMs: number) {
    this.#timer = setTimeout(
      () => this.#controller.abort(new Error(`nothing came for ${Math.round(silentMs / 1000)} s`)),
      silentMs,
    );
  }

  /** Aborted, with an error that says so, once it lasted too long. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** It got on. */
  heard(): void {
    if (!this.signal.aborted) this.#timer.refresh();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
