import { type Deferred, deferred, isOlError, messageOf, within } from "@ol/common";
import { readFile } from "node:fs/promises";

import type { KeepOrder, KeepOutcome, SandboxExit, SandboxSpec } from "../engine.ts";
import { sandboxError } from "../errors.ts";
import type { GuestSocket } from "../frames/guest-socket.ts";
import { encodeFrame } from "../sock/broker-wire.ts";
import { memoryFileOf } from "./cgroup-memory.ts";
import { type ContainerWish, containerBody, LABELS, limitsOf } from "./container-body.ts";
import type { ContainerKit, ContainerOrder } from "./container-kit.ts";
import { DaemonRefusal } from "./daemon.ts";
import { signalName, words } from "./exit-words.ts";
import { GuestListener } from "./guest-listener.ts";
import { MeetingPlace } from "./meeting-place.ts";

/** Python starts in a tenth of a second; a machine that starts fifty containers takes its time. */
const CONNECT_MS = 30_000;
/** As RLIMIT_CORE it turns dumps off, also those that are given to a program. */
const NO_CORE = 1;
const MIB = 1_048_576;
const SIGNAL_OFFSET = 128;
const KILL_SIGNAL = 9;
/** The news that memory ran out may come after the end that it explains. */
const OOM_GRACE_MS = 100;

/** One container, from its directories until nothing of it is left. */
export class Container {
  /** As the porter knows it, and the engine, once it has a sandbox's name. */
  sandbox: string;
  /** Settles once its processes are gone. Never rejects. */
  readonly exited: Promise<SandboxExit>;
  readonly #kit: ContainerKit;
  readonly #exit: Deferred<SandboxExit> = deferred();
  /** The daemon's. */
  #id: string | undefined;
  #connection: GuestSocket | undefined;
  #listener: GuestListener | undefined;
  #meetingPlace: MeetingPlace | undefined;
  #over = false;
  #full = false;
  #memoryFile: string | undefined;
  #killing = false;
  #paused = false;
  #turn: Promise<unknown> = Promise.resolve();
  #cleaned: Promise<void> | undefined;

  /**
   * Starts one whose guest waits for its assignment. Fails with OL_SANDBOX_CREATE_FAILED,
   * _DAEMON_UNAVAILABLE and as the porter does; nothing is left of it then.
   */
  static async start(
    kit: ContainerKit,
    sandbox: string,
    order: ContainerOrder,
    signal?: AbortSignal,
  ): Promise<Container> {
    const container = new Container(kit, sandbox);
    try {
      await container.#start(order, signal);
      return container;
    } catch (error) {
      container.#end({ reason: "lost", message: "it could not be made" });
      await container.#cleanUp();
      throw error;
    }
  }

  private constructor(kit: ContainerKit, sandbox: string) {
    this.#kit = kit;
    this.sandbox = sandbox;
    this.exited = this.#exit.promise;
  }

  /** To its guest; owned by the receiver. */
  get connection(): GuestSocket {
    if (this.#connection === undefined) throw new Error("the container has no connection");
    return this.#connection;
  }

  /** Whether its processes are gone. */
  get over(): boolean {
    return this.#over;
  }

  /** Where its guests are awaited, if it is shared. */
  get meetingPlace(): MeetingPlace {
    if (this.#meetingPlace === undefined) throw new Error("the container is not shared");
    return this.#meetingPlace;
  }

  /** As `memoryFileOf` found it. */
  get memoryFile(): string | undefined {
    return this.#memoryFile;
  }

  async #start(
    { name, network, limits, code, shared }: ContainerOrder,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { daemon, porter, frame, namePrefix } = this.#kit;
    const place = { sandbox: this.sandbox, name, network, limits, ...(code !== undefined && { code }) };
    const room = await porter.request("place", place);
    signal?.throwIfAborted();
    const listener = await this.#listen(shared !== undefined);
    this.#listener = listener;
    const wish: ContainerWish = {
      program: shared === undefined ? "main" : "shared",
      network,
      limits,
      ...shared,
      scratch: room["scratch"] as string,
      code: room["code"] as string,
      socket: this.#meetingPlace?.directory ?? listener.path,
      uid: (room["uid"] as number | null) ?? process.getuid?.() ?? 0,
      labels: { [LABELS.sandbox]: this.sandbox, [LABELS.lambda]: code === undefined ? "" : name },
    };
    const containerName = `${namePrefix}-${this.sandbox}`;
    try {
      this.#id = await daemon.create(containerName, containerBody(frame, wish), signal);
      await daemon.start(this.#id, signal);
    } catch (error) {
      // A daemon that was not answering may make it yet: what is asked for by its name is removed after that.
      if (this.#id === undefined && !(error instanceof DaemonRefusal))
        this.#kit.orphans.owe(containerName, async () => undefined);
      throw asCreateFailure("start the container", error);
    }
    void this.#watch(this.#id);
    this.#connection = await this.#awaitGuest(listener, signal);
    // Its end is the sandbox's, which the container's end tells; without a listener an error would end this process.
    this.#connection.on("error", () => undefined);
  }

  async #listen(shared: boolean): Promise<GuestListener> {
    const { meeting, meetingDir } = this.#kit;
    if (!shared) return GuestListener.open(meeting, meetingDir, this.sandbox);
    this.#meetingPlace = await MeetingPlace.make(meetingDir, this.sandbox);
    return this.#meetingPlace.listen("control");
  }

  async #awaitGuest(listener: GuestListener, signal: AbortSignal | undefined): Promise<GuestSocket> {
    const stopped = deferred<never>();
    const onAbort = (): void => stopped.reject(signal?.reason as Error);
    signal?.addEventListener("abort", onAbort, { once: true });
    const ended = this.#endsTooSoon();
    try {
      const found = await within(Promise.race([listener.connected, ended, stopped.promise]), CONNECT_MS);
      if (found !== undefined) return found;
      throw sandboxError(
        "OL_SANDBOX_CREATE_FAILED",
        `The container's runtime did not begin within ${CONNECT_MS / 1_000} s.`,
      );
    } finally {
      ended.catch(() => undefined);
      stopped.promise.catch(() => undefined);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async #endsTooSoon(): Promise<never> {
    const exit = await this.exited;
    throw sandboxError(
      "OL_SANDBOX_CREATE_FAILED",
      `The container ended before its runtime had begun: ${words(exit)}.`,
    );
  }

  /** Tells the guest what it is to run; frames may be written right behind it. */
  assign(spec: SandboxSpec, environment: Readonly<Record<string, string>>): void {
    const assignment = encodeFrame({
      environment,
      packages: spec.packages ?? [],
      rlimits: { CORE: NO_CORE, FSIZE: spec.limits.scratchMb * MIB },
      ownNetwork: spec.network === "none",
      seccomp: this.#kit.seccomp,
    });
    if (assignment === undefined)
      throw sandboxError(
        "OL_SANDBOX_BAD_OPTIONS",
        "The sandbox's description (its environment, mostly) is larger than 64 KiB.",
      );
    this.connection.write(assignment);
    void this.look();
  }

  /** Changes what it may use. Fails with OL_SANDBOX_DAEMON_UNAVAILABLE and a DaemonRefusal. */
  async resize(limits: SandboxSpec["limits"]): Promise<void> {
    const wanted = limitsOf(this.#kit.frame.info, limits);
    if (this.#id === undefined || this.#over || Object.keys(wanted).length === 0) return;
    await this.#kit.daemon.update(this.#id, wanted);
  }

  /** Gives one that was started in advance its code and its name. Fails as the porter does. */
  async furnish(sandbox: string, { name, code, limits }: SandboxSpec): Promise<void> {
    await this.#kit.porter.request("take", { sandbox: this.sandbox, as: sandbox, name, code, limits });
    this.sandbox = sandbox;
  }

  /** Ends it; settles when nothing of it is left. Idempotent. Fails with OL_SANDBOX_DAEMON_UNAVAILABLE; it is removed later then. */
  kill(): Promise<void> {
    this.#killing = true;
    return this.#cleanUp();
  }

  /** It has more in its scratch directory than it may. */
  overfull(): void {
    this.#full = true;
    void this.#cleanUp().catch((error: unknown) => this.#complain(error));
  }

  /** Nothing is known of it any more. */
  lose(reason: string): void {
    this.#end({ reason: "lost", message: reason });
    void this.#cleanUp().catch((error: unknown) => this.#complain(error));
  }

  pause(): Promise<void> {
    return this.#inTurn("OL_SANDBOX_PAUSE_FAILED", true, (id) => this.#kit.daemon.pause(id));
  }

  resume(): Promise<void> {
    return this.#inTurn("OL_SANDBOX_RESUME_FAILED", false, (id) => this.#kit.daemon.unpause(id));
  }

  async memoryBytes(): Promise<number> {
    if (this.#over || this.#id === undefined) return 0;
    try {
      if (this.#memoryFile !== undefined) return Number(await readFile(this.#memoryFile, "utf8"));
    } catch {
      // Its control group is gone: the daemon says whether it is.
    }
    try {
      return await this.#kit.daemon.memoryBytes(this.#id);
    } catch (error) {
      if (error instanceof DaemonRefusal) return 0;
      throw error;
    }
  }

  async keep(orders: readonly KeepOrder[]): Promise<readonly KeepOutcome[]> {
    if (this.#over || this.#cleaned !== undefined)
      throw sandboxError("OL_SANDBOX_DESTROYED", "It has ended: nothing of it can be kept.");
    this.#killing = true;
    const outcomes = deferred<readonly KeepOutcome[]>();
    this.#cleaned = this.#remove(async () => {
      const fields = orders.map(({ source, target, merge = false }) => ({ source, target, merge }));
      const told = await this.#kit.porter.request("keep", { sandbox: this.sandbox, orders: fields });
      outcomes.resolve(told["outcomes"] as KeepOutcome[]);
    });
    this.#cleaned.catch((error: unknown) => outcomes.reject(error as Error));
    return outcomes.promise;
  }

  /** One after the other; a state that it has already, or its end, is what was asked for. */
  #inTurn(
    code: "OL_SANDBOX_PAUSE_FAILED" | "OL_SANDBOX_RESUME_FAILED",
    paused: boolean,
    act: (id: string) => Promise<void>,
  ): Promise<void> {
    const before = this.#turn;
    const done = this.#change(before, code, paused, act);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #change(
    before: Promise<unknown>,
    code: "OL_SANDBOX_PAUSE_FAILED" | "OL_SANDBOX_RESUME_FAILED",
    paused: boolean,
    act: (id: string) => Promise<void>,
  ): Promise<void> {
    await before;
    if (this.#ending || this.#paused === paused || this.#id === undefined) return;
    try {
      await act(this.#id);
      this.#paused = paused;
    } catch (error) {
      if (this.#ending) return;
      throw sandboxError(code, messageOf(error), { cause: error });
    }
  }

  get #ending(): boolean {
    return this.#over || this.#cleaned !== undefined;
  }

  /** Waits for the end of the container's first process, which is the end of all of them. */
  async #watch(id: string): Promise<void> {
    try {
      const code = await this.#kit.daemon.ended(id);
      this.#end(await this.#exitOf(id, code));
    } catch (error) {
      // Whoever removes it knows why it ended.
      if (this.#over || this.#cleaned !== undefined) return;
      this.#end({ reason: "lost", message: messageOf(error) });
    }
    await this.#cleanUp().catch((error: unknown) => this.#complain(error));
  }

  async #exitOf(id: string, code: number): Promise<SandboxExit> {
    if (this.#full) return { reason: "out-of-disk" };
    if (this.#killing) return { reason: "killed" };
    if (code === SIGNAL_OFFSET + KILL_SIGNAL && (await this.#wasOutOfMemory(id)))
      return { reason: "out-of-memory" };
    const signal = signalName(code - SIGNAL_OFFSET);
    return signal === undefined ? { reason: "exit", code } : { reason: "signal", signal };
  }

  async #wasOutOfMemory(id: string): Promise<boolean> {
    const first = await this.#kit.daemon.inspect(id);
    if (first.outOfMemory) return true;
    await new Promise((resolve) => setTimeout(resolve, OOM_GRACE_MS));
    return (await this.#kit.daemon.inspect(id)).outOfMemory;
  }

  /** Finds its process, for whoever measures it. Never rejects. */
  async look(): Promise<void> {
    try {
      if (this.#id === undefined) return;
      const { pid } = await this.#kit.daemon.inspect(this.#id);
      if (pid > 0) this.#memoryFile = await memoryFileOf(pid, this.#id);
      if (pid > 0 && !this.#over) await this.#kit.porter.request("running", { sandbox: this.sandbox, pid });
    } catch (error) {
      // It may have ended; else only what it has in files without a name is not counted.
      if (!this.#over)
        this.#kit.logger.debug("a container could not be looked at", { error: messageOf(error) });
    }
  }

  #end(exit: SandboxExit): void {
    if (this.#over) return;
    this.#over = true;
    this.#exit.resolve(exit);
    // Its end comes by itself where the processes are known to be gone, and before it their last words.
    if (exit.reason === "lost") this.#connection?.destroy();
  }

  #cleanUp(): Promise<void> {
    this.#cleaned ??= this.#remove(async () => {
      await this.#kit.porter.request("leave", { sandbox: this.sandbox });
    });
    return this.#cleaned;
  }

  /** The container first: as long as it is there, it may write to what the porter would remove. */
  async #remove(leave: () => Promise<void>): Promise<void> {
    const { daemon, orphans } = this.#kit;
    this.#listener?.close();
    const id = this.#id;
    const left = async (): Promise<void> => {
      await this.#meetingPlace?.remove();
      try {
        await leave();
      } catch (error) {
        // Without the porter nobody can remove directories: the next start does.
        if (!isOlError(error, "OL_SANDBOX_BROKER_LOST")) throw error;
      }
    };
    try {
      if (id !== undefined) await daemon.remove(id);
    } catch (error) {
      if (id !== undefined) orphans.owe(id, left);
      this.#end({ reason: "lost", message: messageOf(error) });
      throw error;
    }
    this.#end(this.#full ? { reason: "out-of-disk" } : { reason: "killed" });
    await left();
  }

  #complain(error: unknown): void {
    this.#kit.logger.warn("a container could not be removed; it will be tried again", {
      sandbox: this.sandbox,
      error: messageOf(error),
    });
  }
}

/** What the daemon said, as an error of ours. */
export const asCreateFailure = (step: string, error: unknown): unknown =>
  error instanceof DaemonRefusal
    ? sandboxError("OL_SANDBOX_CREATE_FAILED", `${step}: the daemon refuses: ${error.message}`, {
        cause: error,
      })
    : error;
