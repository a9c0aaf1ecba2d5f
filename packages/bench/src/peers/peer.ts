/** A program, and what it is given. */
export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  /**
   * Processes outside of the command's own tree that belong to what it started, while it runs; default: none. Only their memory is
   * asked for.
   */
  readonly roots?: () => Promise<readonly number[]>;
}

/** Another way to run Python code, with or without shutting it in. */
export interface Peer {
  readonly name: string;
  /** As its own program says it, in one line. */
  readonly version: string;
  /** What runs the interpreter with these arguments; its standard streams are the interpreter's. Each call is for one start. */
  command(args: readonly string[]): Promise<Command>;
}
