import type { NetworkClass } from "@ol/common";

import type { Defence } from "../../../src/index.ts";
import type { ProbeEvent } from "./host.ts";

/** What exists on the host for the probes to find. */
export interface Bait {
  readonly directory: string;
  /** A server on the loopback interface, in the abstract namespace, and at a path that everybody may connect to. */
  readonly port: number;
  readonly socketName: string;
  readonly socketPath: string;
  readonly greeting: string;
  /** A file that everybody may read, and its content. */
  readonly file: string;
  readonly content: string;
  /** System V and POSIX objects, and files in the host's temporary directories, of this name. */
  readonly objects: string;
  readonly key: number;
}

type Event = ProbeEvent | ((bait: Bait) => ProbeEvent);

/** How it is shown that a probe can succeed at all. */
export type Control =
  /** In a sandbox without these defences, or in the other network class. */
  | { readonly weaken: readonly Defence[]; readonly network?: NetworkClass; readonly event?: Event }
  /** On the host, outside every sandbox, as root or as an ordinary user. */
  | { readonly outside: "root" | "user"; readonly event?: Event }
  /** It cannot be, and why. */
  | { readonly none: string };

/** One line of docs/security.md: something that a lambda must not be able to do. */
export interface Probe {
  /** Completes "a lambda cannot ...". */
  readonly title: string;
  readonly event: Event;
  readonly control: Control;
  /** Network classes in which it is possible, by design; on a kernel without Landlock scopes also `withoutScopes`. */
  readonly open?: readonly NetworkClass[];
  readonly withoutScopes?: readonly NetworkClass[];
}

export interface Family {
  readonly name: string;
  readonly probes: readonly Probe[];
}

const EVERYTHING: readonly Defence[] = ["seccomp", "capabilities", "user"];
const noSeccomp: Control = { weaken: ["seccomp"] };
const noPrivilegesDropped: Control = { weaken: EVERYTHING };
const asRoot: Control = { outside: "root" };
const asUser: Control = { outside: "user" };

const simple = (title: string, name: string, control: Control, more: object = {}): Probe => ({
  title,
  event: { probe: name, ...more },
  control,
});

const NAMESPACES = ["cgroup", "ipc", "mount", "net", "pid", "time", "user", "uts"];

const namespaces: Family = {
  name: "Mounts and namespaces",
  probes: [
    ...NAMESPACES.map((kind) =>
      simple(`make a ${kind} namespace with unshare`, "unshare", noSeccomp, { kind }),
    ),
    ...NAMESPACES.filter((kind) => kind !== "time").map((kind) =>
      simple(`make a ${kind} namespace with clone`, "clone", noSeccomp, { kind }),
    ),
    simple("make a user namespace with clone3", "clone3", noSeccomp),
    simple("make a user namespace by the 32-bit call gate", "int-0x80", noSeccomp),
    simple("make a user namespace by an x32 call number", "x32", {
      none: "hardly any kernel has the x32 calls",
    }),
    simple("get capabilities in a user namespace", "user-namespace-capabilities", noSeccomp),
    simple("make a mount namespace without a user namespace", "unshare-plain", noPrivilegesDropped, {
      kind: "mount",
    }),
    simple("enter the namespace of another process", "setns", noPrivilegesDropped, { kind: "uts" }),
    simple("mount a file system", "mount", noPrivilegesDropped),
    simple("mount a file system by the newer calls", "fsopen", noPrivilegesDropped),
    simple("copy a mount", "open-tree", noPrivilegesDropped),
    simple("bind a directory elsewhere", "bind-mount", noPrivilegesDropped),
    ...["/handler", "/usr"].flatMap((path) => [
      simple(`remount ${path} writable`, "remount", noPrivilegesDropped, { path }),
      simple(`clear the read-only attribute of ${path}`, "mount-setattr", noPrivilegesDropped, { path }),
    ]),
    simple("unmount its code", "umount", noPrivilegesDropped, { path: "/handler" }),
    simple("change the root with pivot_root", "pivot-root", noPrivilegesDropped),
    simple("change the root with chroot", "chroot", noPrivilegesDropped),
    simple("mount cgroups (release_agent)", "mount-kind", noPrivilegesDropped, { kind: "cgroup2" }),
    simple("mount proc anew", "mount-kind", noPrivilegesDropped, { kind: "proc" }),
  ],
};

const kernel: Family = {
  name: "The kernel",
  probes: [
    simple("add a key to a keyring", "add-key", noSeccomp),
    simple("use a keyring", "keyctl", noSeccomp),
    simple("ask for a key", "request-key", noSeccomp),
    simple("use bpf", "bpf", asRoot),
    simple("use io_uring", "io-uring", asRoot),
    simple("use performance counters", "perf", asRoot),
    simple("use userfaultfd", "userfaultfd", noSeccomp),
    simple("use fanotify", "fanotify", noSeccomp),
    simple("read the kernel's log by syslog", "syslog", asRoot),
    {
      title: "open a file by its handle",
      event: { probe: "open-by-handle", path: "/host" },
      control: { outside: "root", event: (bait) => ({ probe: "open-by-handle", path: bait.directory }) },
    },
    ...[false, true].map((block): Probe => {
      const make = (directory: string) => ({ probe: "mknod", directory, block });
      return {
        title: `make a ${block ? "block" : "character"} device`,
        event: make("/tmp"),
        control: { outside: "root", event: (bait) => make(bait.directory) },
      };
    }),
    simple("reboot the machine", "reboot", asRoot),
    simple("change the host name", "sethostname", noPrivilegesDropped),
    simple("set the time", "settimeofday", asRoot),
    simple("adjust the clock", "adjtimex", asRoot),
    simple("load a kernel module", "init-module", asRoot),
    simple("unload a kernel module", "delete-module", asRoot),
    simple("turn swapping on", "swapon", asRoot),
    simple("turn process accounting on", "acct", asRoot),
    simple("use input and output ports (ioperm)", "ioperm", asRoot),
    simple("use input and output ports (iopl)", "iopl", asRoot),
    simple("change its execution domain", "personality", noSeccomp),
    simple("compare kernel objects", "kcmp", noSeccomp),
    simple("read its descriptor table", "modify-ldt", noSeccomp),
    simple("type on a terminal", "tiocsti", noSeccomp),
    simple("type on a terminal, with a higher bit set in the request", "tiocsti-wide", noSeccomp),
  ],
};

const OTHERS: readonly Defence[] = ["pid-namespace", "user", "capabilities", "seccomp", "landlock"];

const processes: Family = {
  name: "Processes",
  probes: [
    simple("see processes of others", "other-pids", { weaken: ["pid-namespace"] }),
    simple("signal processes of others", "signal", { weaken: ["pid-namespace", "user", "landlock"] }),
    simple("signal processes by guessing their ids", "signal-by-guess", {
      weaken: ["pid-namespace", "user", "landlock"],
    }),
    simple("trace processes of others", "trace", { weaken: OTHERS }),
    simple("open the memory of others", "memory-of-others", { weaken: OTHERS }),
    simple("see the descriptors of others", "descriptors-of-others", { weaken: OTHERS }),
    simple("use ptrace at all", "ptrace", noSeccomp),
    simple("read memory by process id", "process-vm-readv", noSeccomp),
    simple("take descriptors of a process", "pidfd-getfd", noSeccomp),
    simple("use the worker's pidfd, which its connection gives it", "worker-pidfd", {
      none: "the worker is outside every namespace that a test could leave out",
    }),
  ],
};

const writing = (path: string, control: Control): Probe => ({
  title: `write into ${path}`,
  event: { probe: "write-into", path },
  control,
});
const writingElsewhere: Control = {
  outside: "root",
  event: (bait) => ({ probe: "write-into", path: bait.directory }),
};
const rootWritable: Control = { weaken: ["read-only", "user"] };
const opening = (path: string): Probe => ({
  title: `open ${path} for writing`,
  event: { probe: "open-for-writing", path },
  control: { outside: "root", event: { probe: "open-for-writing", path: "/proc/sys/kernel/core_pattern" } },
});

const files: Family = {
  name: "Files",
  probes: [
    ...["/handler", "/usr", "/packages"].map((path) => writing(path, writingElsewhere)),
    ...["/", "/etc", "/dev", "/runtime"].map((path) => writing(path, rootWritable)),
    simple("open anything in /proc for writing", "writable-proc", { weaken: ["read-only"] }),
    ...["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/dev/kmsg", "/dev/mem"].map(opening),
    {
      title: "read /etc/shadow",
      event: { probe: "read-file", path: "/etc/shadow" },
      control: asRoot,
    },
    {
      title: "read a file of the host that everybody may read",
      event: ({ file, content }) => ({ probe: "host-file", path: file, content }),
      control: asUser,
    },
    {
      title: "read a file of the host through a symbolic link",
      event: ({ file, content }) => ({ probe: "host-file-by-link", path: file, content }),
      control: {
        none: "the same as above, and the link is its own",
      },
    },
    simple("leave its scratch by a directory moved under it", "moved-directory", {
      none: "needs a mover outside",
    }),
    simple("see more of the root than belongs there", "root-listing", asUser),
    simple("see devices that are not harmless", "devices", asUser),
    simple("see /sys", "sys", asUser),
    simple("change the mode of a device that is the host's", "change-mode", asRoot, { path: "/dev/null" }),
    {
      title: "overwrite a program by /proc/PID/exe",
      event: { probe: "overwrite-program", path: "/usr/bin/sleep" },
      control: {
        weaken: [],
        event: { probe: "overwrite-program", path: "/usr/bin/sleep", copy: "/tmp/sleep" },
      },
    },
    simple("overwrite the interpreter by /proc/self/exe", "overwrite-interpreter", {
      none: "it always runs, so even root hears that it is busy; the line above is the same attack",
    }),
  ],
};

const privileges: Family = {
  name: "Privileges",
  probes: [
    simple("have capabilities, inheritable and bounding ones included", "capabilities", {
      weaken: ["user", "capabilities"],
    }),
    simple("gain privileges by running a program", "new-privileges", asUser),
    simple("be without a system call filter", "unfiltered", noSeccomp),
    simple("keep a group of the worker's", "groups", { none: "whoever runs the tests may have none" }),
    simple("see the path of its control group", "cgroup-path", {
      none: "on many machines the host's own is / too",
    }),
    simple("write to a control group", "cgroup-files", asRoot),
    simple("raise its limits", "raise-limit", asRoot, { limit: "FSIZE" }),
    simple("turn core dumps on, which a program of the host would read", "core-dumps", noSeccomp),
    {
      title: "make others be killed first when memory runs out",
      event: { probe: "oom-score" },
      control: { outside: "user", event: { probe: "oom-score", first: 500 } },
    },
    simple("raise its priority", "priority", asRoot),
  ],
};

export const NETWORK_FAMILY = "Network and sockets";

const inNetwork = (network: NetworkClass): Control => ({ weaken: [], network });

const network: Family = {
  name: NETWORK_FAMILY,
  probes: [
    {
      title: "reach a port of the host's loopback interface",
      event: ({ port, greeting }) => ({ probe: "loopback-port", address: "127.0.0.1", port, greeting }),
      control: inNetwork("host"),
      open: ["host"],
    },
    {
      title: "occupy a port of the host's",
      event: ({ port }) => ({ probe: "host-ports", port }),
      control: inNetwork("host"),
      open: ["outbound", "host"],
    },
    {
      title: "see the host's network interfaces",
      event: { probe: "interfaces" },
      control: inNetwork("host"),
      open: ["outbound", "host"],
    },
    {
      title: "reach an abstract socket of the host's",
      event: ({ socketName, greeting }) => ({ probe: "abstract-socket", name: socketName, greeting }),
      control: { weaken: ["landlock"], network: "host" },
      withoutScopes: ["outbound", "host"],
    },
    {
      title: "reach a socket of the host's at a path",
      event: ({ socketPath, greeting }) => ({ probe: "path-socket", path: socketPath, greeting }),
      control: asUser,
    },
    {
      title: "make a raw socket",
      event: { probe: "socket-family", family: 2, type: 3, protocol: 1 },
      control: { weaken: ["user", "capabilities"], network: "none" },
    },
    {
      title: "make a packet socket",
      event: { probe: "socket-family", family: 17, type: 3 },
      control: { weaken: EVERYTHING, network: "none" },
    },
    simple(
      "make a multipath TCP socket, whose connections no packet filter can tell apart",
      "socket-family",
      noSeccomp,
      {
        family: 2,
        protocol: 262,
      },
    ),
    simple("have the kernel load a protocol's module", "socket-family", noSeccomp, {
      family: 2,
      type: 2,
      protocol: 136,
    }),
    simple(
      "make a pair of netlink sockets",
      "socketpair-family",
      {
        none: "no kernel makes pairs of anything but unix sockets",
      },
      { family: 16 },
    ),
    simple("make a netlink socket", "socket-family", noSeccomp, { family: 16, type: 3 }),
    simple("make a vsock socket to the hypervisor", "socket-family", noSeccomp, { family: 40 }),
  ],
};

const objects: Family = {
  name: "Shared objects",
  probes: [
    {
      title: "attach System V shared memory of the host",
      event: ({ key, content }) => ({ probe: "shared-memory", key, content }),
      control: { weaken: ["ipc-namespace"] },
    },
    {
      title: "open a POSIX message queue of the host",
      event: ({ objects: name }) => ({ probe: "message-queue", name }),
      control: { weaken: ["ipc-namespace"] },
    },
    {
      title: "see the host's /tmp and /dev/shm",
      event: (bait) => ({
        probe: "shared-directories",
        name: bait.objects,
        content: bait.content,
        directories: ["/tmp", "/dev/shm"],
      }),
      control: asUser,
    },
  ],
};

/** Every line of what must not work from inside, by family. */
export const FAMILIES: readonly Family[] = [
  namespaces,
  kernel,
  processes,
  files,
  privileges,
  network,
  objects,
];

export const eventOf = (event: Event, bait: Bait): ProbeEvent =>
  typeof event === "function" ? event(bait) : event;
