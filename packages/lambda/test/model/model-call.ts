import type { OlError } from "@ol/common";
import type { CallFailure, ReplySink } from "@ol/sandbox";

import type { Invocation } from "../../src/index.ts";
import type { Answer, Deed } from "./lambdas.ts";

/**
 * waiting: in a queue · running: in a sandbox · unread: its reply has left the sandbox, and its client still reads it · answered, cut (it was in a sandbox), refused (it was not): its sink heard so ·
 * dropped: its client left while it waited · left: its client left while it ran, and the sandbox has not ended it · gone: it has.
 */
export type Phase =
  | "waiting"
  | "running"
  | "unread"
  | "answered"
  | "cut"
  | "refused"
  | "dropped"
  | "left"
  | "gone";

/** How the body comes: at once, in two pieces, or its second piece never; and whether its reply is read at once, with pauses, or never. */
export type Manner = "whole" | "pieces" | "stalls" | "reads slowly" | "reads nothing";

/** So long is a pause in reading. */
const PAUSE_MS = 40;

/** One call as the model knows it: from what its sink hears, and from what was handed to sandboxes. */
export class ModelCall implements ReplySink {
  readonly id: string;
  readonly lambda: string;
  readonly deed: Deed;
  readonly manner: Manner;
  /** Pieces of its body that were not sent yet. */
  readonly rest: Buffer[] = [];
  readonly sinceMs: number = performance.now();
  invocation: Invocation | undefined;
  phase: Phase = "waiting";
  /** Where it runs, or ran last; an id. */
  sandbox: string | undefined;
  /** How often a function or an app began to run it. */
  runs = 0;
  /** The version that ran it. */
  ranBy: string | undefined;
  /** What it was refused or cut with. */
  code: string | undefined;
  /** What its sandbox is just saying that it ended with. */
  leaving: OlError | undefined;
  /** Whether all of its reply has come from the sandbox, in pieces. */
  hasArrived = false;
  /** What it counts as unread. */
  unreadBytes = 0;
  /** Of a reply that has arrived and holds its sandbox: takes it out of there. */
  letGo: (() => void) | undefined;
  readonly #fault: (text: string) => void;
  readonly #parts: Buffer[] = [];
  #begun = false;
  #told = false;
  #failure: CallFailure | undefined;

  constructor(id: string, lambda: string, deed: Deed, manner: Manner, fault: (text: string) => void) {
    this.id = id;
    this.lambda = lambda;
    this.deed = deed;
    this.manner = manner;
    this.#fault = fault;
  }

  /** Whether a sandbox has it. */
  get inSandbox(): boolean {
    return this.phase === "running" || this.phase === "left";
  }

  get over(): boolean {
    return this.phase !== "waiting" && this.phase !== "unread" && !this.inSandbox;
  }

  /** A sandbox gets it. */
  handed(sandbox: string): void {
    if (this.phase !== "waiting") this.#fault(`${this.id} was handed to a sandbox when it was ${this.phase}`);
    this.phase = "running";
    this.sandbox = sandbox;
  }

  /** The sandbox says that it is over; where `error` lets it, it may wait again. */
  leaves(error: OlError | undefined): void {
    if (this.phase === "left") this.phase = "gone";
    // What its sink hears in this moment says how it ended.
    else if (this.phase === "running") this.phase = error === undefined ? "answered" : "waiting";
    else this.#fault(`a sandbox ended ${this.id}, which was ${this.phase}`);
  }

  /** Whether its client still waits for something. */
  get wanted(): boolean {
    return this.phase === "waiting" || this.phase === "running" || this.phase === "unread";
  }

  /** Its client goes. */
  leave(): void {
    if (!this.wanted) return;
    if (this.phase === "waiting") this.phase = "dropped";
    else if (this.phase === "unread") this.phase = "gone";
    else this.phase = "left";
    // It ends with its client where its sandbox has ended it.
    if (this.phase === "left") this.letGo?.();
    this.invocation?.cancel();
  }

  ran(version: string): void {
    this.runs += 1;
    this.ranBy = version;
    if (this.runs > 1) this.#fault(`${this.id} ran ${this.runs} times`);
    if (!this.inSandbox && this.phase !== "gone" && this.phase !== "cut")
      this.#fault(`${this.id} ran although it was ${this.phase}`);
  }

  whole(failure: CallFailure | undefined, body: Buffer): void {
    this.#failure = failure;
    this.#answered(body);
  }

  start(failure: CallFailure | undefined): void {
    if (this.#begun) this.#fault(`${this.id} began its reply twice`);
    this.#begun = true;
    this.#failure = failure;
    if (this.phase !== "running") this.#fault(`${this.id} heard the beginning of a reply when ${this.phase}`);
  }

  chunk(data: Buffer): boolean {
    if (!this.#begun || (this.phase !== "running" && this.phase !== "unread"))
      this.#fault(`${this.id} heard a chunk when ${this.phase}`);
    this.#parts.push(data);
    if (this.manner === "reads nothing") return false;
    if (this.manner !== "reads slowly") return true;
    setTimeout(() => this.invocation?.resume(), PAUSE_MS);
    return false;
  }

  drain(): void {
    const { invocation } = this;
    if (this.phase !== "running" && this.phase !== "answered")
      this.#fault(`${this.id} was to write when ${this.phase}`);
    if (this.manner === "stalls") return;
    for (const piece of this.rest.splice(0)) invocation?.write(piece);
    invocation?.endBody();
  }

  end(): void {
    if (!this.#begun) this.#fault(`${this.id} heard the end of a reply that had no beginning`);
    this.#answered(Buffer.concat(this.#parts));
  }

  fail(error: OlError): void {
    this.code = error.code;
    // Whether it ran last says whether it was cut: a call that came back from a sandbox is refused as one that never was there.
    if (this.phase !== "waiting")
      return this.#fault(`${this.id} heard ${error.code} when it was ${this.phase}`);
    this.phase = this.leaving !== undefined && isFrom(error, this.leaving) ? "cut" : "refused";
    if (this.phase === "refused" && this.runs > 0)
      this.#fault(`${this.id} ran and was refused: ${error.code}`);
    if (this.invocation?.started === false && this.runs > 0)
      this.#fault(`${this.id} ran and heard that it was not started: ${error.code}`);
  }

  #answered(body: Buffer): void {
    if (this.phase !== "answered" || this.#told)
      return this.#fault(`${this.id} was answered when ${this.phase}`);
    this.#told = true;
    if ((this.#failure === undefined) === (this.deed.do === "raise"))
      this.#fault(`${this.id} was to ${this.deed.do}: ${this.#failure}, ${body.toString()}`);
    if (this.#failure !== undefined) return;
    const { id, version } = JSON.parse(body.toString()) as Answer;
    if (id !== this.id || version !== this.ranBy)
      this.#fault(`${this.id} got another's reply: ${body.toString()}`);
  }

  /** Whether an answered one has heard its answer. */
  get told(): boolean {
    return this.#told;
  }
}

/** Whether a caller that hears `error` is told of what the sandbox said, and not of what came of it. */
const isFrom = (error: OlError, said: OlError): boolean => error === said || error.cause === said;
