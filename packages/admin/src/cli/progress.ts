import type { Output } from "./output.ts";

/** Nothing is said about what takes less. */
const SILENT_MS = 1000;
const FRAME_MS = 100;
/** Without a terminal a line now and then shows that it is alive. */
const LINE_MS = 10_000;
const FRAMES = ["-", "\\", "|", "/"];
const BAR = 20;

/** "[#####-----] 50 % of 12.3 MB" */
export const progressBar = (done: number, total: number): string => {
  const part = total === 0 ? 1 : Math.min(1, done / total);
  const full = Math.round(part * BAR);
  return `[${"#".repeat(full)}${"-".repeat(BAR - full)}] ${Math.floor(part * 100)} % of ${(total / 1e6).toFixed(1)} MB`;
};

/** Shows that `what`, which may be new each time, is being done while `work` takes longer than a second. */
export const withProgress = async <T>(
  output: Output,
  what: string | (() => string),
  work: Promise<T>,
): Promise<T> => {
  const start = performance.now();
  const seconds = (): string => `${Math.round((performance.now() - start) / 1000)} s`;
  let frame = 0;
  const show = (): void => {
    const words = typeof what === "string" ? what : what();
    if (output.interactive) output.transient(`${FRAMES[frame++ % FRAMES.length]} ${words} (${seconds()})`);
    else output.message(`${words} (${seconds()}) ...`);
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
