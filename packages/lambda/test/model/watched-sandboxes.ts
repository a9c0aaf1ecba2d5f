import type { OlError } from "@ol/common";
import type { Call, ReplySink, Sandbox, SandboxPool } from "@ol/sandbox";

import { VERSION } from "./lambdas.ts";
import type { ModelCall } from "./model-call.ts";

/** A sandbox from outside: its events, and the calls that are handed to it. */
export interface Watched {
  readonly sandbox: Sandbox;
  readonly version: string;
  readonly open: Set<ModelCall>;
  /** Calls that began to run in it. */
  ran: number;
  phase: "there" | "ending" | "gone";
  /** When it was made, or a call in it was over last. */
  touchedMs: number;
  /** Since when it has been seen to be of no use to anybody, and not the pool's. */
  hoardedMs: number | undefined;
}

/** Who is told of what is handed over. */
export interface Watcher {
  callOf(id: string): ModelCall;
  /** A call is about to be handed to a sandbox. */
  handed(watched: Watched, call: ModelCall): void;
  /** All of its reply has arrived, and so much of it is not read: whether it is to leave its sandbox. */
  unread(call: ModelCall, bytes: number): boolean;
  /** Something in the pool changed. */
  changed(): void;
  fault(text: string): void;
}

/** Every sandbox of a pool, counted by the model itself. */
export class WatchedSandboxes {
  readonly all: Map<string, Watched> = new Map();
  /** Those that are gone stay known: nothing is to be heard of them. */
  readonly #gone = new Set<string>();
  /** Those that ended when all of a reply had arrived that held them, and not all of it had been read. */
  readonly #outlived = new Set<Watched>();
  readonly #watcher: Watcher;

  constructor(pool: SandboxPool, watcher: Watcher) {
    this.#watcher = watcher;
    pool.on("create", (sandbox) => this.#created(sandbox));
    for (const name of ["ready", "paused", "resumed", "evict"] as const)
      pool.on(name, ({ id }) => this.#heard(id, name, "there"));
    pool.on("destroying", ({ id }) => {
      const watched = this.#heard(id, "destroying", "there");
      if (watched !== undefined) watched.phase = "ending";
    });
    pool.on("destroy", ({ id }) => {
      const watched = this.#heard(id, "destroy", "ending");
      if (watched !== undefined) watched.phase = "gone";
      this.all.delete(id);
      this.#gone.add(id);
      if (watched !== undefined && watched.open.size > 0) this.#outlived.add(watched);
    });
  }

  /** Those that run calls, or whose replies are still being read. */
  get busy(): number {
    let busy = 0;
    for (const { open } of [...this.all.values(), ...this.#outlived]) if (open.size > 0) busy += 1;
    return busy;
  }

  #created(sandbox: Sandbox): void {
    if (this.all.has(sandbox.id) || this.#gone.has(sandbox.id))
      this.#watcher.fault(`${sandbox.id} was created twice`);
    const version = sandbox.meta.environment[VERSION] ?? "";
    const watched: Watched = {
      sandbox,
      version,
      open: new Set(),
      ran: 0,
      phase: "there",
      touchedMs: performance.now(),
      hoardedMs: undefined,
    };
    this.all.set(sandbox.id, watched);
    const invoke = sandbox.invoke.bind(sandbox);
    sandbox.invoke = (call: Call, sink: ReplySink) => {
      const known = this.#watcher.callOf(call.invocationId);
      this.#watcher.handed(watched, known);
      watched.open.add(known);
      known.handed(sandbox.id);
      return invoke(call, watchedSink(watched, known, sink, this.#watcher));
    };
    this.#watcher.changed();
  }

  #heard(id: string, event: string, phase: Watched["phase"]): Watched | undefined {
    const watched = this.all.get(id);
    if (watched?.phase !== phase)
      this.#watcher.fault(`${event} of ${id}, which was ${watched?.phase ?? "not there"}`);
    this.#watcher.changed();
    return watched;
  }
}

/** Hears the last of a call before the instance does, which may hand the sandbox the next one at once. */
const watchedSink = (watched: Watched, call: ModelCall, sink: ReplySink, watcher: Watcher): ReplySink => {
  const leaves = (error?: OlError): void => {
    watched.open.delete(call);
    watched.touchedMs = performance.now();
    call.leaves(error);
  };
  return {
    whole: (failure, body, head) => {
      leaves();
      sink.whole(failure, body, head);
    },
    start: (failure, head) => sink.start(failure, head),
    chunk: (data) => sink.chunk(data),
    arrived: (bytes) => {
      call.hasArrived = true;
      if (call.phase === "left") leaves();
      else if (watcher.unread(call, bytes)) {
        leaves();
        call.phase = "unread";
      } else call.letGo = leaves;
      sink.arrived?.(bytes);
    },
    end: () => {
      if (call.phase === "running") leaves();
      else if (call.phase === "unread") call.phase = "answered";
      sink.end();
    },
    drain: () => sink.drain?.(),
    fail: (error) => {
      leaves(error);
      call.leaving = error;
      sink.fail(error);
      call.leaving = undefined;
    },
  };
};
