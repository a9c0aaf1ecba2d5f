import type { LoadReport } from "@ol/common";

import type { WorkerAddress } from "../options.ts";
import type { WorkerView } from "../policies/policy.ts";
import { hash32 } from "../rendezvous.ts";
import { ActiveCheck } from "./active-check.ts";
import { Ejection } from "./ejection.ts";
import { isRamping, rampedSlots } from "./ramp.ts";
import { WarmSet } from "./warm-set.ts";

/** What is supposed of a worker that has said nothing yet: the default of a machine with two CPUs. */
const UNKNOWN_SLOTS = 8;
const UNKNOWN_WAIT_MS = 10_000;

/** up · ejected: calls could not be brought to it · down: checks fail · draining: says that it takes no new calls, and gets none while another is up. */
export type WorkerHealth = "up" | "ejected" | "down" | "draining";

/** How the calls that were sent to a worker ended. */
export interface WorkerCounts {
  /** Leases that were given out. */
  sent: number;
  /** Of those, the ones that came to a reply's head. */
  answered: number;
  connectFailures: number;
  resets: number;
  timeouts: number;
  protocolErrors: number;
  /** How often it was ejected. */
  ejections: number;
}

/** What a worker is measured against; see WorkerTable. */
export interface WorkerSetting {
  readonly nowMs: () => number;
  /** The most calls that it is sent at once: for each slot, and in all. */
  readonly mostPerSlot: number;
  readonly most: number;
  /** Its load is another. */
  moved(worker: Worker, by: number): void;
}

/** One worker: where it is, what it has to do, what it has ready, and whether calls can be brought to it. */
export class Worker implements WorkerView {
  readonly id: string;
  readonly url: URL;
  readonly seed: number;
  readonly check: ActiveCheck = new ActiveCheck();
  readonly ejection: Ejection = new Ejection();
  readonly warm: WarmSet = new WarmSet();
  readonly counts: WorkerCounts = {
    sent: 0,
    answered: 0,
    connectFailures: 0,
    resets: 0,
    timeouts: 0,
    protocolErrors: 0,
    ejections: 0,
  };
  zygotes: ReadonlySet<string> = new Set();
  /** How long a call may wait on it before it begins. */
  waitMs: number = UNKNOWN_WAIT_MS;
  draining = false;
  /** Whether it may get calls; the table says so. */
  eligible = false;
  /** Share of its memory that is promised; undefined before it said so. */
  memory: number | undefined;
  #inFlight = 0;
  /** Calls there that are not ours, as of its last report. */
  #others = 0;
  #slots: number;
  #slotsKnown: boolean;
  #sinceMs: number;
  #lastWarm = "";
  readonly #setting: WorkerSetting;

  /** Is given all its slots from `sinceMs` on, which may be in the past. */
  constructor({ id, url, slots }: WorkerAddress, sinceMs: number, setting: WorkerSetting) {
    this.url = new URL(url);
    this.id = id ?? this.url.host;
    this.seed = hash32(this.id);
    this.#slots = slots ?? UNKNOWN_SLOTS;
    this.#slotsKnown = slots !== undefined;
    this.#sinceMs = sinceMs;
    this.#setting = setting;
  }

  /** All that it has, ramping or not. */
  get weight(): number {
    return this.#slots;
  }

  get slots(): number {
    return rampedSlots(this.#slots, this.#setting.nowMs() - this.#sinceMs);
  }

  get slotsKnown(): boolean {
    return this.#slotsKnown;
  }

  get ramping(): boolean {
    return isRamping(this.#setting.nowMs() - this.#sinceMs);
  }

  /** Calls that were sent to it and are not over. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Our own calls, and those of other balancers that it has reported. */
  get load(): number {
    return this.#inFlight + this.#others;
  }

  /** The most calls that it is sent at once. */
  get most(): number {
    return Math.min(this.#setting.mostPerSlot * this.slots, this.#setting.most);
  }

  get hasRoom(): boolean {
    return this.load < this.most;
  }

  get health(): WorkerHealth {
    if (this.draining) return "draining";
    if (!this.check.up) return "down";
    return this.ejection.isOut(this.#setting.nowMs()) ? "ejected" : "up";
  }

  /** Its checks do not fail, and calls could be brought to it. */
  get reachable(): boolean {
    return this.check.up && !this.ejection.isOut(this.#setting.nowMs());
  }

  /** Whether it has not reported the very same just before, as it does while nothing changes. */
  isNewWarm(report: string): boolean {
    if (report === this.#lastWarm) return false;
    this.#lastWarm = report;
    return true;
  }

  isWarm(name: string): boolean {
    return this.warm.has(name);
  }

  hasZygote(key: string): boolean {
    return this.zygotes.has(key);
  }

  /** A call is sent to it. */
  begin(): void {
    this.#inFlight += 1;
    this.counts.sent += 1;
    this.#setting.moved(this, 1);
  }

  /** A call that was sent to it is over. */
  end(): void {
    this.#inFlight -= 1;
    this.#setting.moved(this, -1);
  }

  /** What it says of its load. Whether its slots, or its draining, are others than before. */
  report({ slots, busy, queue, memory, draining }: LoadReport): boolean {
    // What it reports is older than what we have sent since; the difference at this moment is what others have sent.
    const others = Math.max(0, busy + queue - this.#inFlight);
    const moved = others - this.#others;
    this.#others = others;
    if (moved !== 0) this.#setting.moved(this, moved);
    this.memory = memory;
    const changed = draining !== this.draining || Math.max(slots, 1) !== this.#slots || !this.#slotsKnown;
    this.draining = draining;
    this.#slots = Math.max(slots, 1);
    this.#slotsKnown = true;
    return changed;
  }

  /** It is back: its slots are given to it little by little. */
  restartRamp(): void {
    this.#sinceMs = this.#setting.nowMs();
  }
}
