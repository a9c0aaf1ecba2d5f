import type { Enforcement } from "../engine.ts";
import type { DaemonInfo } from "./daemon.ts";
import type { ImageReport } from "./trial.ts";

/** What of a sandbox's limits the daemon can enforce, and what is missing. `notes`: those that are known already. */
export const enforcementOf = (
  info: DaemonInfo,
  report: ImageReport,
  notes: readonly string[],
  share: "off" | "lambda" = "off",
): Enforcement => {
  const limitedBy = (wanted: boolean): "cgroup-v1" | "cgroup-v2" | "none" => (wanted ? info.cgroups : "none");
  return {
    memory: limitedBy(info.memoryLimit),
    procs: limitedBy(info.pidsLimit),
    cpu: limitedBy(info.cpuLimit),
    pause: share === "off" ? info.cgroups : "signals",
    scratch: "measured",
    rootless: info.rootless,
    notes: [...notes, ...shortcomings(info, report), ...(share === "off" ? [] : SHARED)],
  };
};

/** What sandboxes give up that share a container. */
const SHARED = [
  "sandboxes of one lambda share a container (docker.share): limits hold for all of them together, as many times as there are sandboxes in it, and they see each other's processes, /tmp and /host; set docker.share to off where calls of one lambda must not reach each other",
];

const shortcomings = (info: DaemonInfo, report: ImageReport): string[] => {
  const missing = [
    ...(info.memoryLimit ? [] : ["memory"]),
    ...(info.pidsLimit ? [] : ["processes"]),
    ...(info.cpuLimit ? [] : ["CPU"]),
  ];
  return [
    ...(missing.length === 0
      ? []
      : [
          `${info.product} limits no ${missing.join(", ")} here, so that one sandbox can take all of it; give the daemon control groups (rootless: cgroup v2 and delegation by systemd)`,
        ]),
    ...(info.memoryLimit && !info.swapLimit
      ? [
          "the kernel does not count swap space, so that a sandbox may swap; boot with swapaccount=1, or without swap",
        ]
      : []),
    ...(report.seccomp
      ? []
      : [
          "the daemon filters no system calls; the runtime's own filter is what there is: install the daemon with seccomp",
        ]),
    ...(report.landlock
      ? []
      : [
          "sandboxes with network host reach this machine's abstract unix sockets: only Linux 6.12 and newer, with Landlock and a daemon that lets containers use it, can keep them off; use network none where that matters",
        ]),
    ...(info.rootless
      ? [
          "the daemon is rootless: in its containers lambdas run as root of the daemon's user, without capabilities",
        ]
      : []),
  ];
};
