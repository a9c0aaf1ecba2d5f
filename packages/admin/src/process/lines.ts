import type { Readable } from "node:stream";

/** More than that is no line of a worker's: it is cut there. */
const LONGEST_LINE = 8192;

/** What a worker says while it starts, line by line as they are asked for. */
export class Lines {
  readonly #stream: Readable;
  #text = "";
  #over = false;
  #look: () => void = () => undefined;

  constructor(stream: Readable) {
    this.#stream = stream;
    const end = (): void => {
      this.#over = true;
      this.#look();
    };
    stream.on("data", (data: Buffer) => {
      this.#text += data.toString("utf8");
      this.#look();
    });
    // An error is an end like any other.
    stream.once("error", end);
    stream.once("close", end);
  }

  /** Settles with the next line, or undefined at the end of the stream; fails with the signal's reason. */
  next(signal: AbortSignal): Promise<string | undefined> {
    return new Promise((resolve, reject) => {
      const finish = (act: () => void): void => {
        signal.removeEventListener("abort", stop);
        this.#look = () => undefined;
        act();
      };
      const stop = (): void => finish(() => reject(signal.reason as Error));
      if (signal.aborted) return stop();
      signal.addEventListener("abort", stop, { once: true });
      this.#look = () => {
        const line = this.#take();
        if (line !== undefined || this.#over) finish(() => resolve(line));
      };
      this.#look();
    });
  }

  close(): void {
    this.#stream.destroy();
  }

  #take(): string | undefined {
    const end = this.#text.indexOf("\n");
    if (end < 0 && this.#text.length <= LONGEST_LINE) return undefined;
    const line = this.#text.slice(0, end < 0 ? LONGEST_LINE : end);
    this.#text = this.#text.slice(line.length + 1);
    return line;
  }
}
