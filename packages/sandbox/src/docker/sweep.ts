import type { ContainerDaemon } from "./daemon.ts";

/** Removes all containers with these labels, whatever they do. Returns how many. Fails with OL_SANDBOX_DAEMON_UNAVAILABLE. */
export const removeContainers = async (
  daemon: ContainerDaemon,
  labels: Readonly<Record<string, string>>,
): Promise<number> => {
  const found = await daemon.list(labels);
  await Promise.all(found.map(({ id }) => daemon.remove(id)));
  return found.length;
};
