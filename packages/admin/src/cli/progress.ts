import type { Output } from "./output.ts";

/** Nothing is said about what takes less. */
const SILENT_MS = 1000;
const FRAME_MS = 100;
/** Without a terminal a line now and then shows that it is alive. */
const LINE_MS = 10_000;
const FRAMES = ["-", "\\", "|", "/"];

/** Shows that `what` is being done while `work` takes longer than a second. */
export const withProgress = async <T>(output: Output, what: string, work: Promise<T>): Promise<T> => {
  const start = performance.now();
  const seconds = (): string => `${Math.round((performance.now() - start) / 1000)} s`;
  let frame = 0;
  const show = (): void => {
    if (output.interactive) output.transient(`${FRAMES[frame++ % FRAMES.length]} ${what} (${seconds()})`);
    else output.message(`${what} (${seconds()}) ...`);
  };
  let repeat: NodeJS.Timeout | undefined;
  const first = setTimeout(() => {
    show();
    repeat = setInterval(show, output.interactive ? FRAME_MS : LINE_MS);
  }, SILENT_MS);
  try {
    return await work;
  } finally {
    clearTimeout(first);
    clearInterval(repeat);
    if (frame > 0) output.transient("");
  }
};
