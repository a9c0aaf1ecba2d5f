import { type Logger, messageOf } from "@ol/common";
import type { PackageStore } from "@ol/lambda";

/**
 * Installs `startup_pkgs`, each by itself: one that cannot be had keeps no other from being there. Nobody waits for it. Settles
 * when all is done, or with the signal; never rejects.
 */
export const installStartupPackages = async (
  lines: readonly string[],
  store: PackageStore,
  signal: AbortSignal,
  logger: Logger,
): Promise<void> => {
  for (const line of lines) {
    if (signal.aborted) return;
    try {
      const { packages } = await store.install([line]);
      logger.info("startup_pkgs: installed", { line, packages: packages.map(({ id }) => id).join(" ") });
    } catch (error) {
      // Ended with the worker it is no failure.
      if (!signal.aborted)
        logger.warn("startup_pkgs: could not be installed", { line, error: messageOf(error) });
    }
  }
};
