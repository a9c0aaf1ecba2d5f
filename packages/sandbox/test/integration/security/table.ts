import type { NetworkClass } from "@ol/common";

import { FAMILIES, type Probe } from "./probes.ts";

const cell = (probe: Probe, network: NetworkClass): string => {
  if (probe.open?.includes(network)) return "**open**";
  return probe.withoutScopes?.includes(network) ? "closed from Linux 6.12 on" : "closed";
};

/** The table of docs/security.md. The answers are the same for a worker run as root and as an ordinary user. */
export const probeTable = (): string =>
  FAMILIES.flatMap(({ name, probes }) => [
    `| **${name}** | | | |`,
    ...probes.map(
      (probe) =>
        `| ${probe.title} | ${cell(probe, "none")} | ${cell(probe, "outbound")} | ${cell(probe, "host")} |`,
    ),
  ]).join("\n");
