import { closeSync, writeSync } from "node:fs";

/** Names the file descriptor that a supervisor reads one line from. */
export const READY_VARIABLE = "OL_READY_FD";

/**
 * Tells whoever started this process how its start went, by one line on the descriptor it named: `ready <url>` or
 * `error <message>`. Before that, if it has to wait for permission, `waiting`. Without such a descriptor nobody is told.
 */
export class Readiness {
  #fd: number | undefined;

  constructor(variable: string | undefined) {
    const fd = Number(variable);
    // 0, 1 and 2 belong to the terminal or the log.
    this.#fd = variable !== undefined && Number.isInteger(fd) && fd > 2 ? fd : undefined;
  }

  /** Its configuration can be read, and it waits to be told to begin. */
  waiting(): void {
    this.#tell("waiting", false);
  }

  ready(url: string): void {
    this.#tell(`ready ${url}`, true);
  }

  failed(message: string): void {
    this.#tell(`error ${message.replaceAll(/\s*\n\s*/gu, "; ")}`, true);
  }

  #tell(line: string, last: boolean): void {
    const fd = this.#fd;
    if (last) this.#fd = undefined;
    if (fd === undefined) return;
    try {
      writeSync(fd, `${line}\n`);
      if (last) closeSync(fd);
    } catch {
      // Whoever wanted to know is gone (EPIPE), or named a descriptor that is none (EBADF): the process goes on.
    }
  }
}
