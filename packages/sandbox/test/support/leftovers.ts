import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, readFileSync, readdirSync, readlinkSync } from "node:fs";
import path from "node:path";

/** What is looked for. */
export interface Traces {
  readonly clusterId: string;
  /** The workers' directories. */
  readonly workDirs: readonly string[];
  /** Sessions of the processes under test (their process ids, started detached). */
  readonly sessions?: readonly number[];
  /** Workers that shall live, by process id, which is also their session: what is in it or below them is theirs. */
  readonly living?: readonly number[];
}

/** One line for each thing found; sorted, empty if there is nothing. */
export type Findings = readonly string[];

/** Null for what is gone, or not ours to look at. */
const tryTo = <Value>(read: () => Value): Value | null => {
  try {
    return read();
  } catch {
    return null;
  }
};

/** Every process of this machine that can be seen. */
export const processIds = (): number[] => readdirSync("/proc").map(Number).filter(Number.isInteger);

/** Fields of /proc/PID/stat behind the command's name: [0] is the state, [1] the parent, [3] the session. */
export const statFields = (pid: number): string[] | null => {
  const text = tryTo(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
  return text === null ? null : text.slice(text.lastIndexOf(")") + 2).split(" ");
};

/** Killed, and on its way out inside the kernel: it runs nothing any more (PF_EXITING of <linux/sched.h>). */
const isExiting = (stat: readonly string[]): boolean => (Number(stat[6]) & 0x4) !== 0;

const openPaths = (pid: number): string[] => {
  const links = (tryTo(() => readdirSync(`/proc/${pid}/fd`)) ?? []).map((fd) => `fd/${fd}`);
  return [...links, "cwd", "root"].flatMap((link) => tryTo(() => readlinkSync(`/proc/${pid}/${link}`)) ?? []);
};

const why = (pid: number, traces: Traces): string | undefined => {
  const stat = statFields(pid);
  // A zombie holds nothing; whoever has to reap it is reported if it is one of ours.
  if (stat === null || stat[0] === "Z" || isExiting(stat)) return undefined;
  const session = Number(stat[3]);
  if (traces.sessions?.includes(session)) return "its session";
  const text = (file: string): string => tryTo(() => readFileSync(`/proc/${pid}/${file}`, "utf8")) ?? "";
  const mentions = (where: string): boolean =>
    where.includes(`ol-${traces.clusterId}-`) ||
    traces.workDirs.some((directory) => where.includes(directory));
  if (mentions(text("cgroup"))) return "its cgroup";
  if (mentions(text("cmdline"))) return "its command line";
  if (mentions(text("mountinfo"))) return "its mounts";
  return openPaths(pid).some(mentions) ? "a file that it has open" : undefined;
};

const commandOf = (pid: number): string =>
  (tryTo(() => readFileSync(`/proc/${pid}/cmdline`, "utf8")) ?? "").replaceAll("\0", " ");

/** Processes that belong to these workers. */
export const processesOf = (traces: Traces): { readonly pid: number; readonly because: string }[] => {
  const living = traces.living ?? [];
  const isOfLiving = (pid: number): boolean => living.includes(Number(statFields(pid)?.[3]));
  const found = processIds().flatMap((pid) => {
    if (pid === process.pid || isOfLiving(pid)) return [];
    const because = why(pid, traces);
    return because === undefined ? [] : [{ pid, because }];
  });
  // A sandbox that waits to be used has a session of its own.
  const below = new Set(found.length === 0 ? [] : living.flatMap(descendantsOf));
  return found.filter(({ pid }) => !below.has(pid));
};

const mountsOf = (traces: Traces): string[] =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => [`ol-${traces.clusterId}`, ...traces.workDirs].some((text) => line.includes(text)));

/** Groups of this cluster in every hierarchy that is mounted. */
export const cgroupsOf = (clusterId: string): string[] => {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(" ")[4] ?? "");
  return points.flatMap((point) => groupsBelow(point, `ol-${clusterId}-`));
};

const groupsBelow = (directory: string, prefix: string): string[] => {
  const entries = tryTo(() => readdirSync(directory, { withFileTypes: true })) ?? [];
  return entries.flatMap((entry) => {
    if (!entry.isDirectory()) return [];
    const below = path.join(directory, entry.name);
    const ours = entry.name.startsWith(prefix);
    // All that is in one of ours is ours.
    return [...(ours ? [below] : []), ...groupsBelow(below, ours ? "" : prefix)];
  });
};

const nftTablesOf = (clusterId: string): string[] => {
  const output = tryTo(() =>
    execFileSync("nft", ["list", "tables"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }),
  );
  return (output ?? "").split("\n").filter((line) => line.includes(`ol-${clusterId}`));
};

/** What a living worker has ready for the next sandboxes: a directory each, and its socket. */
const waitingIn = (workDir: string): string[] => {
  const names = tryTo(() => readdirSync(path.join(workDir, "handlers/.waiting"))) ?? [];
  return ["handlers/.waiting", ...names.map((name) => `run/${name}.sock`)];
};

/** What a worker's directory holds besides what stays for good. */
export const filesOf = (workDir: string, living = false): string[] => {
  const waiting = living ? waitingIn(workDir) : [];
  const allowed = new Set([
    "handlers",
    "run",
    "run/lock",
    "trash",
    "code",
    "import-cache",
    "import-cache/zygotes.json",
    ...waiting,
  ]);
  const found: string[] = [];
  for (const name of tryTo(() => readdirSync(workDir)) ?? []) {
    if (!allowed.has(name)) found.push(name);
    if (name === "code" || !lstatSync(path.join(workDir, name)).isDirectory()) continue;
    for (const inner of readdirSync(path.join(workDir, name)))
      if (!allowed.has(`${name}/${inner}`)) found.push(`${name}/${inner}`);
  }
  return found;
};

/** Everything of these workers that is still there. Groups are left out while one of them lives. */
export const leftovers = (traces: Traces): Findings => {
  const living = (traces.living ?? []).length > 0;
  const processes = processesOf(traces).map(
    ({ pid, because }) => `process ${pid} (${because}): ${commandOf(pid).slice(0, 200)}`,
  );
  return [
    ...processes,
    ...mountsOf(traces).map((line) => `mount ${line}`),
    ...(living ? [] : cgroupsOf(traces.clusterId)).map((group) => `cgroup ${group}`),
    ...nftTablesOf(traces.clusterId).map((table) => `nft ${table}`),
    ...traces.workDirs.flatMap((directory) =>
      filesOf(directory, living).map((file) => `file ${directory}/${file}`),
    ),
  ].sort();
};

export interface ProcessUsage {
  readonly descriptors: number;
  readonly residentKb: number;
  /** PSS. Its part of programs and libraries grows whenever somebody else who runs the same ends. */
  readonly proportionalKb: number;
  /** What of that belongs to no file. */
  readonly anonymousKb: number;
}

/** What a process uses; null if it is gone. */
export const usageOf = (pid: number): ProcessUsage | null => {
  if (!existsSync(`/proc/${pid}`)) return null;
  const status = tryTo(() => readFileSync(`/proc/${pid}/status`, "utf8"));
  const descriptors = tryTo(() => readdirSync(`/proc/${pid}/fd`).length);
  const rollup = tryTo(() => readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
  if (status === null || descriptors === null || rollup === null) return null;
  const residentKb = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
  const kbOf = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(rollup)?.[1] ?? 0);
  return { descriptors, residentKb, proportionalKb: kbOf("Pss"), anonymousKb: kbOf("Pss_Anon") };
};

/** Descendants of a process, nearest first. */
export const descendantsOf = (root: number): number[] => {
  const children = new Map<number, number[]>();
  for (const pid of processIds()) {
    const parent = Number(statFields(pid)?.[1] ?? 0);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found: number[] = [];
  const queue = [root];
  for (let pid = queue.shift(); pid !== undefined; pid = queue.shift()) {
    const below = children.get(pid) ?? [];
    found.push(...below);
    queue.push(...below);
  }
  return found;
};

/** A tree as seen from the host. */
export interface TreeProcesses {
  readonly init: number;
  readonly zygote: number;
}

/** The only tree of a broker. */
export const treeOf = (brokerPid: number): TreeProcesses => {
  const [tree, ...others] = treesOf(brokerPid);
  if (tree === undefined || others.length > 0) throw new Error(`${others.length} trees too many, or none`);
  return tree;
};

/** The processes below a broker: each tree's init, and its zygote. */
export const treesOf = (brokerPid: number): TreeProcesses[] => {
  const parents = new Map(processIds().map((pid) => [pid, Number(statFields(pid)?.[1] ?? 0)]));
  const below = (parent: number): number[] =>
    [...parents].flatMap(([pid, its]) => (its === parent ? [pid] : []));
  return below(brokerPid)
    .filter((pid) => commandOf(pid).includes("ol_guest"))
    .flatMap((init) => {
      // A zygote is in its init's pid namespace; leaves are one level deeper.
      const zygote = below(init).find((pid) => pidNumbers(pid).length === pidNumbers(init).length);
      return zygote === undefined ? [] : [{ init, zygote }];
    });
};

/** A process's ids from the outermost pid namespace to its own. */
export const pidNumbers = (pid: number): number[] => {
  const status = tryTo(() => readFileSync(`/proc/${pid}/status`, "utf8")) ?? "";
  return (/NSpid:\s+(.*)/.exec(status)?.[1] ?? "").split(/\s+/).map(Number);
};

/** Whether a process runs: neither gone nor a zombie. */
export const identityLives = (pid: number): boolean => {
  const state = statFields(pid)?.[0];
  return state !== undefined && state !== "Z" && state !== "X";
};

/** First processes of sandboxes below a broker whose mounts match. */
const leavesWith = (brokerPid: number, mount: RegExp): number[] =>
  descendantsOf(brokerPid).filter(
    (pid) =>
      pidNumbers(pid).at(-1) === 1 &&
      mount.test(tryTo(() => readFileSync(`/proc/${pid}/mountinfo`, "utf8")) ?? ""),
  );

/** The first process of a sandbox, by the host's number: the one that has the sandbox's directory as its /host. */
export const leafOf = (brokerPid: number, sandbox: string): number | undefined =>
  leavesWith(brokerPid, new RegExp(`/${sandbox} /host `))[0];

/** The same for every sandbox of a lambda. */
export const leavesRunning = (brokerPid: number, lambda: string): number[] =>
  leavesWith(brokerPid, new RegExp(`/handlers/${lambda}/[^/ ]+ /host `));

/** One of them. */
export const leafRunning = (brokerPid: number, lambda: string): number | undefined =>
  leavesRunning(brokerPid, lambda)[0];
