import { VERSION } from "./version.ts";

/** Runs the command line of this process and exits. */
export const main = async (): Promise<void> => {
  process.stdout.write(`${VERSION}\n`);
};
