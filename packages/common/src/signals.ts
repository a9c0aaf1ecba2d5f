const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * The name of the first signal that asks this process to end. The second ends it at once, so that nobody has to reach
 * for SIGKILL.
 */
export const firstSignal = (): Promise<string> =>
  new Promise((resolve) => {
    let signals = 0;
    for (const signal of SIGNALS)
      process.on(signal, () => {
        signals += 1;
        if (signals > 1) process.exit(1);
        resolve(signal);
      });
  });
