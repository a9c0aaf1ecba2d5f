import { Socket } from "node:net";

/** Names the file descriptor on which a supervisor says that the worker may begin. */
export const GO_VARIABLE = "OL_GO_FD";

/**
 * The permission to begin of a worker that was started ahead of time, beside the one that it replaces: a line `go` on
 * the descriptor that its supervisor named. Without a descriptor it has it from the start.
 */
export class Standby {
  readonly #fd: number | undefined;

  constructor(variable: string | undefined) {
    const fd = Number(variable);
    // 0, 1 and 2 belong to the terminal or the log.
    this.#fd = variable !== undefined && Number.isInteger(fd) && fd > 2 ? fd : undefined;
  }

  /** Whether somebody has to say so first. */
  get waits(): boolean {
    return this.#fd !== undefined;
  }

  /** Settles with true for `go`; with false if the supervisor says something else, or ends: nobody wants this worker. */
  permission(): Promise<boolean> {
    if (this.#fd === undefined) return Promise.resolve(true);
    const pipe = new Socket({ fd: this.#fd, readable: true, writable: false });
    return new Promise((resolve) => {
      let text = "";
      pipe.on("data", (data: Buffer) => {
        text += data.toString("latin1");
        if (text.includes("\n")) pipe.destroy();
      });
      // An error is an end like any other: `close` follows.
      pipe.on("error", () => undefined);
      pipe.on("end", () => pipe.destroy());
      pipe.once("close", () => resolve(text.startsWith("go\n")));
    });
  }
}
