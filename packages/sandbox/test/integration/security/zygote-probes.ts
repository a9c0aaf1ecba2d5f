import type { Defence } from "../../../src/index.ts";
import type { ProbeEvent } from "./host.ts";
import { FAMILIES, type Probe } from "./probes.ts";

/**
 * What import code in a zygote can do and a lambda cannot: what making leaves and further zygotes takes, within
 * namespaces that are its own. docs/security.md names each.
 */
export const OPEN_TO_ZYGOTES: readonly string[] = [
  ...["cgroup", "ipc", "mount", "net", "pid", "user", "uts"].flatMap((kind) => [
    `make a ${kind} namespace with unshare`,
    `make a ${kind} namespace with clone`,
  ]),
  "get capabilities in a user namespace",
  "make a mount namespace without a user namespace",
  "copy a mount",
  "open anything in /proc for writing",
  "have capabilities, inheritable and bounding ones included",
];

/**
 * Not tried there: mounts and roots that it may change for itself, after which the other probes would mean nothing;
 * and two that depend on the rights of the worker's root (CAP_SYS_RESOURCE), as docs/security.md says.
 */
const NOT_TRIED =
  /^(mount |bind |unmount |change the root |raise its limits|make others be killed first when memory)/;

/** The lines of probes.ts that are tried by import code too. */
export const ZYGOTE_PROBES: readonly Probe[] = FAMILIES.flatMap(({ probes }) => probes).filter(
  ({ title }) => !NOT_TRIED.test(title),
);

/** What only zygotes are in a position to try. */
export interface ZygoteProbe {
  readonly title: string;
  readonly event: ProbeEvent;
  /** Without these the same import code succeeds. */
  readonly weaken: readonly Defence[];
}

const inOneNamespace: readonly Defence[] = ["zygote-user", "seccomp"];

export const OWN_ZYGOTE_PROBES: readonly ZygoteProbe[] = ["/packages", "/runtime/ol_guest", "/usr"].flatMap(
  (path) => [
    { title: `remount ${path} writable`, event: { probe: "remount", path }, weaken: inOneNamespace },
    {
      title: `clear the read-only attribute of ${path}`,
      event: { probe: "mount-setattr", path },
      weaken: inOneNamespace,
    },
  ],
);
