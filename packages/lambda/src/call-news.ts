import { type CallEnded, CHANNELS } from "./channels.ts";
import type { PendingCall } from "./pending-call.ts";

/** What a message says of a call of one function. */
interface Named {
  readonly lambda: string;
  readonly invocationId: string;
}

/** Tells what becomes of one function's calls whoever listens to this package's channels; nothing is done for nobody. */
export class CallNews {
  readonly #lambda: string;

  constructor(lambda: string) {
    this.#lambda = lambda;
  }

  /** It waits, as the last of so many; `again`: as the first of them. */
  entered(call: PendingCall, queued: number, queuedByAll: number, again: boolean): void {
    const channel = CHANNELS["ol:queue:enter"];
    if (channel.hasSubscribers) channel.publish({ ...this.#named(call), queued, queuedByAll, again });
  }

  /** A sandbox gets it. */
  left(call: PendingCall): void {
    const channel = CHANNELS["ol:queue:leave"];
    if (channel.hasSubscribers) channel.publish({ ...this.#named(call), waitedMs: waitedMs(call) });
  }

  /** Its client left. */
  dropped(call: PendingCall): void {
    const channel = CHANNELS["ol:queue:drop"];
    if (channel.hasSubscribers) channel.publish({ ...this.#named(call), waitedMs: waitedMs(call) });
  }

  refused(call: PendingCall, code: string): void {
    const channel = CHANNELS["ol:queue:refuse"];
    if (channel.hasSubscribers) channel.publish({ ...this.#named(call), waitedMs: waitedMs(call), code });
  }

  started(call: PendingCall, sandbox: string | undefined, inFlight: number): void {
    const channel = CHANNELS["ol:call:start"];
    if (channel.hasSubscribers)
      channel.publish({ ...this.#named(call), sandbox, cold: call.cold !== undefined, inFlight });
  }

  ended(
    call: PendingCall,
    sandbox: string | undefined,
    outcome: CallEnded["outcome"],
    code: string | undefined,
  ): void {
    const channel = CHANNELS["ol:call:end"];
    if (channel.hasSubscribers)
      channel.publish({ ...this.#named(call), sandbox, outcome, code, phases: call.phases() });
  }

  #named({ invocationId }: PendingCall): Named {
    return { lambda: this.#lambda, invocationId };
  }
}

const waitedMs = ({ sinceMs }: PendingCall): number => performance.now() - sinceMs;
