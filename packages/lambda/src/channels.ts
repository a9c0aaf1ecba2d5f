import { listenTo, type TypedChannel, typedChannel } from "@ol/common";
import type { SandboxChannels } from "@ol/sandbox";

import type { CallPhases } from "./pending-call.ts";
import type { ScaleSnapshot, ShrinkSnapshot } from "./policy.ts";

/** Which call a message is about. */
export interface CallMessage {
  /** The function's name, as it was called. */
  readonly lambda: string;
  /** The call's. */
  readonly invocationId: string;
}

/** A call waits in its function's queue. */
export interface QueueEntered extends CallMessage {
  /** Calls of the function that wait, this one included; and of all functions of its manager. */
  readonly queued: number;
  readonly queuedByAll: number;
  /** It had left already, and comes back first in line: its sandbox ended or was busy, and it had certainly not begun. */
  readonly again: boolean;
}

/** A call left the queue for a sandbox. */
export interface QueueLeft extends CallMessage {
  /** Since it came, in ms. */
  readonly waitedMs: number;
}

/** A call is not run: it was refused at once, or after it had waited. */
export interface QueueRefused extends CallMessage {
  readonly waitedMs: number;
  /** OL_LAMBDA_QUEUE_FULL, OL_LAMBDA_QUEUE_TIMEOUT, OL_LAMBDA_UNKNOWN and whatever else a call is refused with. */
  readonly code: string;
}

/** A call was handed to a sandbox. */
export interface CallStarted extends CallMessage {
  /** The sandbox's id; undefined if it ended in that moment. */
  readonly sandbox: string | undefined;
  /** Whether it is the sandbox's first one, and waited for it to be made or to load its code. */
  readonly cold: boolean;
  /** Calls that run in the sandbox or wait in it, this one included. */
  readonly inFlight: number;
}

/** A sandbox has no more to do with a call. */
export interface CallEnded extends CallMessage {
  readonly sandbox: string | undefined;
  /**
   * `answered`: there is a reply, perhaps that the lambda failed. `cut`: the sandbox ended, or had to. `left`: the client was
   * gone. `returned`: it had certainly not begun, and waits again.
   */
  readonly outcome: "answered" | "cut" | "left" | "returned";
  /** The lambda's failure, or the error's code. */
  readonly code: string | undefined;
  /** Where its time went; undefined for one that did not begin. */
  readonly phases: CallPhases | undefined;
}

/** An autoscaler was asked how many instances a function should have: while calls wait, or with more as its answer. */
export interface ScaleGrown {
  readonly lambda: string;
  readonly snapshot: ScaleSnapshot;
  /** Its answer, kept within what can be. */
  readonly desired: number;
}

/** An autoscaler ends idle instances. */
export interface ScaleShrunk {
  readonly lambda: string;
  readonly snapshot: ShrinkSnapshot;
  readonly surplus: number;
}

/** This package's own channels, beside those of @ol/sandbox. */
interface OwnChannels {
  readonly "ol:queue:enter": QueueEntered;
  readonly "ol:queue:leave": QueueLeft;
  readonly "ol:queue:refuse": QueueRefused;
  /** Its client left while it waited. */
  readonly "ol:queue:drop": QueueLeft;
  readonly "ol:call:start": CallStarted;
  readonly "ol:call:end": CallEnded;
  readonly "ol:scale:grow": ScaleGrown;
  readonly "ol:scale:shrink": ScaleShrunk;
}

/**
 * The channels of node:diagnostics_channel on which this package and @ol/sandbox tell what happens in all managers and pools
 * of the process, and their messages: plain data, made only while somebody listens.
 */
export interface LambdaChannels extends SandboxChannels, OwnChannels {}

const open = <Name extends keyof OwnChannels>(name: Name): TypedChannel<OwnChannels[Name]> =>
  typedChannel(name);

/** The sending ends, for this package. */
export const CHANNELS: { readonly [Name in keyof OwnChannels]: TypedChannel<OwnChannels[Name]> } = {
  "ol:queue:enter": open("ol:queue:enter"),
  "ol:queue:leave": open("ol:queue:leave"),
  "ol:queue:refuse": open("ol:queue:refuse"),
  "ol:queue:drop": open("ol:queue:drop"),
  "ol:call:start": open("ol:call:start"),
  "ol:call:end": open("ol:call:end"),
  "ol:scale:grow": open("ol:scale:grow"),
  "ol:scale:shrink": open("ol:scale:shrink"),
};

/** Names of this package's own channels. */
export const LAMBDA_CHANNELS: readonly (keyof OwnChannels)[] = Object.keys(CHANNELS) as (keyof OwnChannels)[];

/**
 * Calls `listener` with every message of a channel, one of @ol/sandbox too; returns what ends that. What it throws ends the
 * process, as for every subscriber of node:diagnostics_channel.
 */
export const onLambdaChannel = <Name extends keyof LambdaChannels>(
  name: Name,
  listener: (message: LambdaChannels[Name]) => void,
): (() => void) => listenTo(name, listener);
