import { listenTo, type NetworkClass, type TypedChannel, typedChannel } from "@ol/common";

/** Which sandbox a message is about. */
export interface SandboxMessage {
  /** The sandbox's; unique within its pool. */
  readonly id: string;
  /** What runs in it: its spec's name, which several may have. */
  readonly name: string;
}

/** A sandbox was made; its code is being loaded. */
export interface SandboxCreated extends SandboxMessage {
  readonly network: NetworkClass;
  /** Its memory limit. */
  readonly memoryMb: number;
  /** How many package directories it has. */
  readonly packages: number;
  /** Id of the zygote that it was forked from; undefined: its network class's root. */
  readonly zygote: string | undefined;
  /** The wait for memory, in ms. */
  readonly waitedMs: number;
  /** What the engine needed, in ms. */
  readonly makeMs: number;
}

/** A sandbox has loaded its code. */
export interface SandboxReady extends SandboxMessage {
  /** Since it was made, in ms. */
  readonly loadMs: number;
}

/** Nothing is left of a sandbox, and its memory is free again. */
export interface SandboxDestroyed extends SandboxMessage {
  /** Calls that it was given. */
  readonly uses: number;
  /** Since it was made, in ms. */
  readonly lifeMs: number;
  /** Code of the error that calls after its end get; OL_SANDBOX_DESTROYED if somebody destroyed it. */
  readonly code: string;
}

/** A sandbox that was asked for was not made. */
export interface SandboxFailed {
  readonly name: string;
  /** OL_SANDBOX_NO_MEMORY, OL_SANDBOX_CREATE_FAILED, OL_SANDBOX_CANCELLED and whatever else `acquire` fails with. */
  readonly code: string;
  readonly message: string;
}

/** A zygote has imported its modules. */
export interface ZygoteCreated {
  readonly id: string;
  /** Id of the zygote that it was forked from; undefined: its network class's root. */
  readonly parent: string | undefined;
  readonly network: NetworkClass;
  readonly packages: readonly string[];
  /** How long importing took. */
  readonly importMs: number;
  /** Private memory that it holds besides its parent's. */
  readonly memoryMb: number;
}

/** A zygote was not made. */
export interface ZygoteFailed {
  readonly id: string;
  readonly code: string;
  readonly message: string;
}

/** A zygote is gone; what was forked from it lives on. */
export interface ZygoteDestroyed {
  readonly id: string;
  /** As in SandboxExit. */
  readonly reason: string;
}

/** An evictor has decided. */
export interface EvictionChosen {
  /** Memory that is waited for, beyond what is free or on its way back. */
  readonly missingMb: number;
  /** It was only asked what would go. */
  readonly trial: boolean;
  /** How many sandboxes and zygotes it could choose from. */
  readonly sandboxes: number;
  readonly zygotes: number;
  /** Ids, in its order. */
  readonly chosen: readonly string[];
  /** How long it took to decide. */
  readonly tookMs: number;
}

/** Something is about to be destroyed because its memory is needed. */
export interface Evicted {
  readonly id: string;
  readonly kind: "sandbox" | "zygote";
}

/**
 * The channels of node:diagnostics_channel on which this package tells what happens in all pools of the process, and their
 * messages: plain data, made only while somebody listens.
 */
export interface SandboxChannels {
  readonly "ol:sandbox:create": SandboxCreated;
  readonly "ol:sandbox:ready": SandboxReady;
  /** Its processes are stopped. */
  readonly "ol:sandbox:pause": SandboxMessage;
  /** Its processes run again. */
  readonly "ol:sandbox:resume": SandboxMessage;
  readonly "ol:sandbox:destroy": SandboxDestroyed;
  readonly "ol:sandbox:fail": SandboxFailed;
  readonly "ol:zygote:create": ZygoteCreated;
  readonly "ol:zygote:fail": ZygoteFailed;
  readonly "ol:zygote:destroy": ZygoteDestroyed;
  readonly "ol:eviction:choose": EvictionChosen;
  readonly "ol:eviction:evict": Evicted;
}

const open = <Name extends keyof SandboxChannels>(name: Name): TypedChannel<SandboxChannels[Name]> =>
  typedChannel(name);

/** The sending ends, for this package. */
export const CHANNELS: { readonly [Name in keyof SandboxChannels]: TypedChannel<SandboxChannels[Name]> } = {
  "ol:sandbox:create": open("ol:sandbox:create"),
  "ol:sandbox:ready": open("ol:sandbox:ready"),
  "ol:sandbox:pause": open("ol:sandbox:pause"),
  "ol:sandbox:resume": open("ol:sandbox:resume"),
  "ol:sandbox:destroy": open("ol:sandbox:destroy"),
  "ol:sandbox:fail": open("ol:sandbox:fail"),
  "ol:zygote:create": open("ol:zygote:create"),
  "ol:zygote:fail": open("ol:zygote:fail"),
  "ol:zygote:destroy": open("ol:zygote:destroy"),
  "ol:eviction:choose": open("ol:eviction:choose"),
  "ol:eviction:evict": open("ol:eviction:evict"),
};

/** Names of all channels of this package. */
export const SANDBOX_CHANNELS: readonly (keyof SandboxChannels)[] = Object.keys(
  CHANNELS,
) as (keyof SandboxChannels)[];

/**
 * Calls `listener` with every message of a channel; returns what ends that. What it throws ends the process, as for every
 * subscriber of node:diagnostics_channel.
 */
export const onSandboxChannel = <Name extends keyof SandboxChannels>(
  name: Name,
  listener: (message: SandboxChannels[Name]) => void,
): (() => void) => listenTo(name, listener);
