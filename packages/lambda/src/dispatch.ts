import type { CallNews } from "./call-news.ts";
import type { CodeVersion } from "./code-state.ts";
import type { Fleet } from "./fleet.ts";
import type { Growth } from "./growth.ts";
import type { Instance } from "./instance.ts";
import type { Profile } from "./profile.ts";
import type { Slots, SlotWaiter } from "./slots.ts";
import type { WaitingCalls } from "./waiting-calls.ts";

/** The function whose calls they are. */
export interface DispatchOwner extends SlotWaiter {
  readonly fleet: Fleet;
  profileOf(version: CodeVersion): Profile;
}

/** Hands one function's waiting calls to its instances, as far as there are instances and slots. */
export class Dispatch {
  readonly #owner: DispatchOwner;
  readonly #slots: Slots;
  readonly #queue: WaitingCalls;
  readonly #news: CallNews;
  readonly #growth: Pick<Growth, "meanRunMs">;
  #running = 0;
  #crashedMs = Number.NEGATIVE_INFINITY;

  constructor(
    owner: DispatchOwner,
    slots: Slots,
    parts: {
      readonly queue: WaitingCalls;
      readonly news: CallNews;
      readonly growth: Pick<Growth, "meanRunMs">;
    },
  ) {
    this.#owner = owner;
    this.#slots = slots;
    this.#queue = parts.queue;
    this.#news = parts.news;
    this.#growth = parts.growth;
  }

  /** Calls that instances have. */
  get running(): number {
    return this.#running;
  }

  /** An instance has one call less. */
  left(): void {
    this.#running -= 1;
  }

  /** A sandbox ended in the middle of a call. */
  crashed(): void {
    this.#crashedMs = performance.now();
  }

  run(version: CodeVersion, nowMs: number): void {
    const { fleet } = this.#owner;
    const profile = this.#owner.profileOf(version);
    this.#queue.expireIfDue(nowMs);
    while (this.#queue.size > 0) {
      const idle = fleet.idle();
      const taker = idle ?? this.#busyTaker(version, profile, nowMs);
      if (taker === undefined) return;
      // What goes to a busy sandbox keeps its slot taken, which is all right unless somebody else stands in line for it.
      if (this.#slots.free === 0 && (idle !== undefined || this.#slots.wantedBeside(this.#owner)))
        return this.#slots.wait(this.#owner);
      if (idle !== undefined) {
        fleet.noteNotIdle(idle);
        this.#slots.take();
      }
      const call = this.#queue.next();
      this.#running += 1;
      taker.run(call, profile.timeoutMs, nowMs);
      this.#news.started(call, taker.sandbox?.id, taker.inFlight);
    }
  }

  /** Whether a call that comes now waits for no other call, if at all: it has a sandbox, or is what one is started for. */
  isFirstInLine(version: CodeVersion | undefined): boolean {
    if (version === undefined || this.#queue.size > 0) return false;
    const { fleet } = this.#owner;
    return fleet.idle() !== undefined || !fleet.hasLive(version);
  }

  /** A busy instance that may be handed one more call. */
  #busyTaker(version: CodeVersion, { reuse, concurrency }: Profile, nowMs: number): Instance | undefined {
    const { fleet } = this.#owner;
    if (!reuse) return undefined;
    if (concurrency > 1) return fleet.shared(version, concurrency);
    if (version.kind === "asgi") return undefined;
    return fleet.pipelined(version, nowMs, this.#growth.meanRunMs, nowMs - this.#crashedMs);
  }
}
