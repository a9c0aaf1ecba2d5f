import type { Duplex } from "node:stream";

import type { NetworkClass, SandboxLimits } from "@ol/common";

/** What a sandbox is made from. The pool and whoever uses it see it as `meta`; it never changes. */
export interface SandboxSpec {
  /** What runs in it. Scratch and logs are filed under it: `[A-Za-z0-9._-]`, at most 128, no leading dot or dash. */
  readonly name: string;
  /** The code's directory, relative to the engine's `codeDir`; read-only in the sandbox as /handler. */
  readonly code: string;
  /** Which network it has. */
  readonly network: NetworkClass;
  /** Environment variables of the code, on top of the runtime's few. */
  readonly environment: Readonly<Record<string, string>>;
  /** What it may use. */
  readonly limits: SandboxLimits;
  /** Id of the zygote to fork it from, which must be of the same network class; default: that class's root. */
  readonly zygote?: string;
  /**
   * Package directories, relative to the engine's `packagesDir`: put on sys.path in this order, behind the standard library;
   * default: none.
   */
  readonly packages?: readonly string[];
  /** What it writes to /host lies in a directory, whatever the engine does with other sandboxes' scratch; default false. */
  readonly scratchOnDisk?: boolean;
}

/** A directory of a sandbox's scratch that is to be kept when the sandbox has ended. */
export interface KeepOrder {
  /** Below /host. */
  readonly source: string;
  /** Where it goes, below the engine's `packagesDir`. */
  readonly target: string;
  /** Adds its files to a target that is there, of which nothing is replaced; default: the target is made. */
  readonly merge?: boolean;
}

/**
 * What became of it. `exists`: the target was there already, and is as it was. `refused`: there is something in it that may
 * not be kept. `failed`: the disk is full, or something else of the system's.
 */
export type KeepOutcome =
  | { readonly kind: "kept" }
  | { readonly kind: "exists" }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "failed"; readonly reason: string };

/** A zygote that has imported packages. Whoever forks from it starts with all that its parent and it imported. */
export interface ZygoteSpec {
  /** Id of the zygote that it is forked from, one of the same network class; default: that class's root. */
  readonly parent?: string;
  /** Which network it and what is forked from it have. */
  readonly network: NetworkClass;
  /** As in SandboxSpec; those of its parent are not added by themselves. */
  readonly packages: readonly string[];
  /** What it imports, in this order. */
  readonly modules: readonly string[];
  /**
   * For itself, not for what is forked from it; `logMb` and `scratchMb` mean nothing here. What the kernel charges it for
   * sandboxes that are forked from it comes on top while these live.
   */
  readonly limits: SandboxLimits;
  /** How long importing may take, in ms; default 30,000, which is the most. At the limit: OL_SANDBOX_ZYGOTE_FAILED. */
  readonly importMs?: number;
}

/** How a zygote's import went. */
export interface ZygoteImport {
  /** How long it took; what the zygote says, but no more than passed. */
  readonly ms: number;
  /** Private memory that it holds besides its parent's, in MB, measured from outside. */
  readonly memoryMb: number;
  /**
   * Top-level modules that were looked for and not found, as the zygote says: what a package would use if it were there.
   * Who declares one of them besides would get the package without.
   */
  readonly sought: readonly string[];
}

/** Why a sandbox ended. Only information: what a guest can influence decides nothing. */
export type SandboxExit =
  | { readonly reason: "exit"; readonly code: number }
  | { readonly reason: "signal"; readonly signal: string }
  /** The memory limit killed it. */
  | { readonly reason: "out-of-memory" }
  /** It had more in its scratch directory than limits.scratch_mb, or too many files. */
  | { readonly reason: "out-of-disk" }
  /** `kill` was called. */
  | { readonly reason: "killed" }
  /**
   * It could not be set up, the engine's host process died, or the status could not be had; `message` says which.
   * `notStarted`: certainly nothing that was written to it was read by anybody.
   */
  | { readonly reason: "lost"; readonly message?: string; readonly notStarted?: true };

/** One running sandbox, as an engine hands it out: a connection to the guest runtime, and a way to end it. */
export interface EngineSandbox {
  /** As `create` was called with. */
  readonly id: string;
  /** Open to the guest runtime; speaks frames (see frames/). Owned by the receiver. */
  readonly connection: Duplex;
  /** Settles once every process of the sandbox is gone. Never rejects. */
  readonly exited: Promise<SandboxExit>;
  /**
   * Stops every process until `resume`; a paused sandbox can be killed like every other. Idempotent. Fails with
   * OL_SANDBOX_PAUSE_FAILED if some could not be stopped, and then all run on.
   */
  pause(): Promise<void>;
  /** Lets them run again. Idempotent, also for one that was never paused. Fails with OL_SANDBOX_RESUME_FAILED. */
  resume(): Promise<void>;
  /** Bytes of memory that it holds now, files in memory (/tmp, /dev/shm) included; 0 when it is gone. */
  memoryBytes(): Promise<number>;
  /** Ends every process at once; settles when they and everything the engine made for them are gone. Idempotent. */
  kill(): Promise<void>;
  /**
   * Ends every process, and then makes directories of its scratch package directories, which every sandbox may read: each
   * as a whole or not at all. What is neither a file nor a directory is refused. Needs `scratchOnDisk`. One outcome for each
   * order, in their order. Absent in an engine without package directories. Fails with OL_SANDBOX_DESTROYED if it has
   * ended already.
   */
  keep?(orders: readonly KeepOrder[]): Promise<readonly KeepOutcome[]>;
}

/** A running zygote. Sandboxes and zygotes that were forked from it outlive it. */
export interface EngineZygote {
  /** As `createZygote` was called with. */
  readonly id: string;
  /** How its import went. */
  readonly import: ZygoteImport;
  /** Settles once it is gone and can be forked from no more. Never rejects. */
  readonly exited: Promise<SandboxExit>;
  /** Ends it and nothing else; settles when it is gone. Idempotent. */
  kill(): Promise<void>;
}

/** What an engine can enforce on this machine; `ol-admin doctor` prints it. */
export interface Enforcement {
  /** `rlimit`: of each process; what a whole sandbox holds is measured now and then, and who holds too much killed. */
  readonly memory: "cgroup-v2" | "cgroup-v1" | "rlimit" | "none";
  readonly procs: "cgroup-v2" | "cgroup-v1" | "rlimit" | "none";
  readonly cpu: "cgroup-v2" | "cgroup-v1" | "none";
  /** How a sandbox is paused. `signals` stop its processes one by one, which is a courtesy and not a limit. */
  readonly pause: "cgroup-v2" | "cgroup-v1" | "signals" | "none";
  /** `measured`: the scratch directory is measured now and then; `quota`: a file system in memory of exact size. */
  readonly scratch: "measured" | "quota" | "none";
  /** True if sandboxes run without root on the host. */
  readonly rootless: boolean;
  /** One sentence each: what is not in force here, why, and what to do. */
  readonly notes: readonly string[];
}

/** A snapshot of an engine's numbers. */
export interface EngineStats {
  /** Sandboxes alive. */
  readonly sandboxes: number;
  readonly created: number;
  readonly destroyed: number;
  /** Processes kept ready to become sandboxes. */
  readonly prepared: number;
  /** What those processes hold, as measured at most a second ago. */
  readonly preparedMb: number;
  /** Zygotes alive that `createZygote` made. */
  readonly zygotes: number;
}

/**
 * Knows how to make and end one kind of sandbox. Knows nothing of lambdas, HTTP, budgets or policies. Every
 * engine passes the conformance suite in testing/.
 */
export interface SandboxEngine extends AsyncDisposable {
  /** For people. */
  readonly name: string;
  /** What it enforces here. */
  readonly enforcement: Enforcement;
  /**
   * Makes a sandbox whose guest runtime is being started; the connection may be written to at once.
   * Fails with OL_SANDBOX_CREATE_FAILED, OL_SANDBOX_NO_ZYGOTE, OL_SANDBOX_BAD_OPTIONS,
   * OL_SANDBOX_NETWORK_UNAVAILABLE, OL_SANDBOX_BROKER_LOST or OL_SANDBOX_CLOSED.
   */
  create(id: string, spec: SandboxSpec, signal?: AbortSignal): Promise<EngineSandbox>;
  /**
   * Makes a zygote; settles when it has imported its modules. Absent in an engine that cannot fork.
   * Fails with OL_SANDBOX_ZYGOTE_FAILED (with Python's text, and see `unfitOf`), OL_SANDBOX_NO_ZYGOTE (the parent),
   * OL_SANDBOX_BAD_OPTIONS, OL_SANDBOX_NETWORK_UNAVAILABLE, OL_SANDBOX_BROKER_LOST or OL_SANDBOX_CLOSED.
   */
  createZygote?(id: string, spec: ZygoteSpec, signal?: AbortSignal): Promise<EngineZygote>;
  /** A snapshot of its numbers. */
  stats(): EngineStats;
  /**
   * Settles, with a reason for people, when the engine can make no more sandboxes because its host process ended
   * unasked. Never rejects, and stays open after `close`.
   */
  readonly lost: Promise<string>;
  /** Kills all sandboxes and frees everything. Idempotent. */
  close(): Promise<void>;
}
