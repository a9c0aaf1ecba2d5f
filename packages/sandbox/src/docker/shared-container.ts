import { deferred, messageOf, within } from "@ol/common";

import type { SandboxExit, SandboxSpec } from "../engine.ts";
import { sandboxError } from "../errors.ts";
import { Allowance, limitsOfAll } from "./allowance.ts";
import { memoryKillsOf } from "./cgroup-memory.ts";
import { asCreateFailure, type Container } from "./container.ts";
import type { ContainerKit, ContainerOrder } from "./container-kit.ts";
import { ControlChannel } from "./control-channel.ts";
import { DaemonRefusal } from "./daemon.ts";
import { words } from "./exit-words.ts";
import { type LeafHome, SharedLeaf } from "./shared-leaf.ts";

/** As RLIMIT_CORE it turns dumps off, also those that are given to a program. */
const NO_CORE = 1;
const MIB = 1_048_576;
/**
 * The zygote has to get a word in beside hundreds of processes of its leaves': without this, 360 of a fork bomb kept it from
 * answering for ten seconds. It counts among the processes of a control group, and elsewhere would be to the lambdas' disadvantage.
 */
const LEAF_NICENESS = 19;
/** What one failure can end at once; and /tmp, whose size cannot be changed later, is made for so many. */
const MOST_SANDBOXES = 32;

/** Podman tells of an end later than Docker. */
const GONE_MS = 2_000;
const ZYGOTE_GONE = "its first process ended";

/** What a container is to be in which sandboxes of such a kind are forked. */
export const sharedOrder = (limits: SandboxSpec["limits"]): Pick<ContainerOrder, "limits" | "shared"> => ({
  limits: limitsOfAll(limits, 1),
  shared: { filesMb: limits.memoryMb * MOST_SANDBOXES },
});

/** A container, its zygote, and the sandboxes in it: all of one lambda and one trust. */
export class SharedContainer {
  /** Settles when it has ended, and each of its sandboxes has been told. Never rejects. */
  readonly ended: Promise<void>;
  readonly #kit: ContainerKit;
  readonly #spec: SandboxSpec;
  readonly #started: Promise<LeafHome>;
  readonly #leaves = new Map<number, SharedLeaf>();
  readonly #allowance: Allowance;
  /** When the last of its sandboxes is gone. */
  readonly #onEmpty: () => void;
  #container: Container | undefined;
  #seats = 0;
  #most = MOST_SANDBOXES;
  #peak = 1;
  #last = 0;
  #over = false;
  #killing = false;
  #trouble: string | undefined;
  #memoryKills = 0;

  /** `start` makes the container of it, whoever waits for that. */
  constructor(kit: ContainerKit, spec: SandboxSpec, start: () => Promise<Container>, onEmpty: () => void) {
    this.#kit = kit;
    this.#spec = spec;
    this.#onEmpty = onEmpty;
    this.#allowance = new Allowance(
      () => Math.max(1, this.#leaves.size),
      async (count) => this.#container?.resize(limitsOfAll(spec.limits, count)),
    );
    const over = deferred<void>();
    this.ended = over.promise;
    this.#started = this.#begin(start, over.resolve);
    this.#started.catch(() => undefined);
  }

  /** Whether one more can be in it. */
  get hasRoom(): boolean {
    return !this.#ending && this.#seats < this.#most;
  }

  /** Whether it is there, and nobody is in it or on the way. */
  get idle(): boolean {
    return this.#container !== undefined && !this.#ending && this.#seats === 0;
  }

  /** Whether it was there, and is lost or takes no more: another one may be tried instead. */
  get spent(): boolean {
    return this.#container !== undefined && (this.#ending || this.#seats >= this.#most);
  }

  get #ending(): boolean {
    return this.#over || this.#killing || this.#trouble !== undefined;
  }

  /** What all of it holds. */
  async memoryBytes(): Promise<number> {
    return (await this.#container?.memoryBytes()) ?? 0;
  }

  /** Forks a sandbox in it; there must be room. Fails as Container.start and SharedLeaf.begin do. */
  async fork(
    id: string,
    spec: SandboxSpec,
    environment: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<SharedLeaf> {
    this.#seats += 1;
    try {
      const home = await unlessAborted(this.#started, signal);
      return await this.#forkAt(home, id, spec, environment, signal);
    } catch (error) {
      this.#leaveSeat();
      throw error;
    }
  }

  /** Ends it and all in it. Fails with OL_SANDBOX_DAEMON_UNAVAILABLE; it is removed later then. */
  async kill(): Promise<void> {
    this.#killing = true;
    try {
      await this.#started;
    } catch {
      // Whoever wanted a sandbox of it was told, and nothing of it is left.
      return;
    }
    await this.#container?.kill();
    await this.ended;
  }

  async #begin(start: () => Promise<Container>, over: () => void): Promise<LeafHome> {
    let container: Container;
    try {
      container = await start();
    } catch (error) {
      this.#over = true;
      over();
      throw error;
    }
    this.#container = container;
    void this.#watch(container, over);
    const channel = new ControlChannel(container.connection, {
      exit: (number, status) => this.#leafEnded(number, status),
      broken: (reason) => this.#giveUp(reason),
      closed: () => void this.#zygoteGone(container),
    });
    channel.begin({
      rlimits: { CORE: NO_CORE, FSIZE: this.#spec.limits.scratchMb * MIB },
      seccomp: this.#kit.seccomp,
      niceness: this.#kit.frame.info.cpuLimit ? LEAF_NICENESS : 0,
    });
    void container.look();
    // Who wanted it may have given up meanwhile.
    if (this.idle) this.#onEmpty();
    return {
      kit: this.#kit,
      room: container.sandbox,
      channel,
      place: container.meetingPlace,
      ranOutOfMemory: () => this.#ranOutOfMemory(container),
      equalShare: async () => (await container.memoryBytes()) / Math.max(1, this.#leaves.size),
      wholeBytes: () => container.memoryBytes(),
    };
  }

  async #forkAt(
    home: LeafHome,
    id: string,
    spec: SandboxSpec,
    environment: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<SharedLeaf> {
    this.#last += 1;
    const number = this.#last;
    const leaf = new SharedLeaf(id, number, home, (reason) => this.#giveUp(reason));
    this.#leaves.set(number, leaf);
    const begun = Promise.all([leaf.begin(spec), this.#makeRoom(home, this.#leaves.size)]);
    try {
      if (this.#ending) throw lost(this.#trouble);
      await unlessAborted(begun, signal);
      leaf.assign(spec, environment);
    } catch (error) {
      begun.catch(() => undefined);
      try {
        await leaf.kill();
      } finally {
        this.#leaves.delete(number);
      }
      // Until it is empty, and so at its end.
      if (leaf.refused) this.#most = 0;
      throw error;
    }
    void this.#forgetAtEnd(leaf, number);
    return leaf;
  }

  /** Before any code of the new one runs, so that it takes nothing of what the others may have. */
  async #makeRoom(home: LeafHome, count: number): Promise<void> {
    const { limits } = this.#spec;
    if (count > this.#peak) {
      this.#peak = count;
      // Never less again: what those that are gone have written is still there.
      const scratchMb = limits.scratchMb * count;
      await this.#kit.porter.request("limit", { sandbox: home.room, limits: { ...limits, scratchMb } });
    }
    try {
      await this.#allowance.suffice(count);
    } catch (error) {
      if (!(error instanceof DaemonRefusal)) throw error;
      this.#most = Math.max(1, this.#allowance.granted);
      this.#kit.logger.debug("a container cannot be made larger, and takes no more sandboxes", {
        container: home.room,
        error: error.message,
      });
      throw asCreateFailure("make the container larger", error);
    }
  }

  async #forgetAtEnd(leaf: SharedLeaf, number: number): Promise<void> {
    await leaf.exited;
    this.#leaves.delete(number);
    this.#leaveSeat();
    if (this.#over) return;
    try {
      await this.#allowance.relent();
    } catch (error) {
      // Those that are left hold more, or the daemon is away: it stays as large as it is.
      this.#kit.logger.debug("a container could not be made smaller", { error: messageOf(error) });
    }
  }

  #leaveSeat(): void {
    this.#seats -= 1;
    if (this.idle) this.#onEmpty();
  }

  #leafEnded(number: number, status: number): boolean {
    const leaf = this.#leaves.get(number);
    if (leaf?.mayExit !== true) return false;
    leaf.ended(status).catch((error: unknown) => this.#complain(error));
    return true;
  }

  /** One that took its memory kills a sandbox, and perhaps a child of one: each of these kills explains one end. */
  async #ranOutOfMemory({ memoryFile }: Container): Promise<boolean> {
    const kills = memoryFile === undefined ? undefined : await memoryKillsOf(memoryFile);
    if (kills === undefined || kills <= this.#memoryKills) return false;
    this.#memoryKills += 1;
    return true;
  }

  /** Nothing that its zygote says counts any more. */
  #giveUp(reason: string): void {
    if (this.#ending) return;
    this.#trouble = reason;
    this.#container?.kill().catch((error: unknown) => this.#complain(error));
  }

  /** With it go all others; the container's end, which says why, is told by the daemon in a moment. */
  async #zygoteGone(container: Container): Promise<void> {
    if (this.#killing) return;
    this.#trouble ??= ZYGOTE_GONE;
    if ((await within(container.exited, GONE_MS)) !== undefined) return;
    await container.kill().catch((error: unknown) => this.#complain(error));
  }

  async #watch(container: Container, over: () => void): Promise<void> {
    const exit = this.#exitOfAll(await container.exited);
    this.#over = true;
    const told = [...this.#leaves.values()].map((leaf) => leaf.containerEnded(exit));
    for (const outcome of await Promise.allSettled(told))
      if (outcome.status === "rejected") this.#complain(outcome.reason);
    over();
  }

  #exitOfAll(exit: SandboxExit): SandboxExit {
    if (exit.reason === "out-of-disk" || exit.reason === "out-of-memory") return exit;
    if (exit.reason === "killed" && this.#trouble === undefined) return exit;
    const toldBest = this.#trouble === ZYGOTE_GONE && exit.reason !== "killed" ? undefined : this.#trouble;
    const why = toldBest ?? words(exit);
    return { reason: "lost", message: `the container that it shares is lost: ${why}` };
  }

  #complain(error: unknown): void {
    this.#kit.logger.warn(
      "a shared container, or a sandbox in it, could not be removed; it will be tried again",
      {
        container: this.#container?.sandbox,
        error: messageOf(error),
      },
    );
  }
}

const lost = (trouble: string | undefined): Error =>
  sandboxError(
    "OL_SANDBOX_CREATE_FAILED",
    `The container that the sandbox was to be in is lost: ${trouble ?? "it ended"}.`,
  );

/** What is begun goes on when the caller gives up: others may wait for it too. */
const unlessAborted = async <Value>(
  begun: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> => {
  if (signal === undefined) return begun;
  signal.throwIfAborted();
  const aborted = deferred<never>();
  const onAbort = (): void => aborted.reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([begun, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    aborted.promise.catch(() => undefined);
  }
};
