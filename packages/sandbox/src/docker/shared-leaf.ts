import { deferred, type Deferred, isOlError, messageOf, within } from "@ol/common";

import type { EngineSandbox, SandboxExit, SandboxSpec } from "../engine.ts";
import { sandboxError } from "../errors.ts";
import type { GuestSocket } from "../frames/guest-socket.ts";
import { encodeFrame } from "../sock/broker-wire.ts";
import type { ContainerKit } from "./container-kit.ts";
import type { ControlAnswer, ControlChannel } from "./control-channel.ts";
import { signalName, words } from "./exit-words.ts";
import type { GuestListener } from "./guest-listener.ts";
import type { MeetingPlace } from "./meeting-place.ts";

/** What a leaf knows of the container that it is in. */
export interface LeafHome {
  readonly kit: ContainerKit;
  /** The container, as the porter knows it. */
  readonly room: string;
  readonly channel: ControlChannel;
  readonly place: MeetingPlace;
  /** Whether memory ran out since somebody asked, of a leaf that was killed for no other reason. */
  ranOutOfMemory(): Promise<boolean>;
  /** What a leaf is said to hold if the zygote cannot tell: its part of all. */
  equalShare(): Promise<number>;
  /** What all of it holds. */
  wholeBytes(): Promise<number>;
}

const SIGNAL_MASK = 0x7f;
const KILL_SIGNAL = 9;
/** How long a killed leaf, and what it left, may take to be gone. At the limit: the container ends. */
const END_MS = 15_000;
/** From its fork to its call it does what takes milliseconds, unless somebody stops it. */
const CALL_MS = 30_000;

type PauseCode = "OL_SANDBOX_PAUSE_FAILED" | "OL_SANDBOX_RESUME_FAILED";

/** A sandbox that is a fork in a container which it shares with others of the same lambda. */
export class SharedLeaf implements EngineSandbox {
  readonly id: string;
  readonly exited: Promise<SandboxExit>;
  readonly #home: LeafHome;
  readonly #number: number;
  /** Ends the container, for want of another way to end this. */
  readonly #giveUp: (reason: string) => void;
  readonly #exit: Deferred<SandboxExit> = deferred();
  #connection: GuestSocket | undefined;
  #listener: GuestListener | undefined;
  /** The zygote's answer, from when it was asked for a fork. */
  #fork: Promise<ControlAnswer> | undefined;
  #refused = false;
  #joined = false;
  #over = false;
  /** Its end was told of. */
  #told = false;
  #killing: Promise<void> | undefined;
  #cleaned: Promise<void> | undefined;
  #paused = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(id: string, number: number, home: LeafHome, giveUp: (reason: string) => void) {
    this.id = id;
    this.#number = number;
    this.#home = home;
    this.#giveUp = giveUp;
    this.exited = this.#exit.promise;
  }

  /** Open once `begin` has settled. */
  get connection(): GuestSocket {
    if (this.#connection === undefined) throw new Error("the sandbox has no connection");
    return this.#connection;
  }

  /** Whether the zygote was asked for it, and nothing of it is known to have ended. */
  get mayExit(): boolean {
    return this.#fork !== undefined && !this.#over && !this.#told;
  }

  /** Whether the kernel let the zygote make no process: others in the container have all that it may have. */
  get refused(): boolean {
    return this.#refused;
  }

  /** Has it forked, and waits for it to call. Fails with OL_SANDBOX_CREATE_FAILED; `kill` it then. */
  async begin(spec: SandboxSpec): Promise<void> {
    const { kit, room, place, channel } = this.#home;
    const { name, limits } = spec;
    this.#joined = true;
    const joined = await kit.porter.request("join", { sandbox: this.id, room, name, limits });
    this.#listener = await place.listen(String(this.#number));
    if (this.#killing !== undefined || this.#over) {
      this.#listener.close();
      throw ended("it was given up");
    }
    this.#fork = channel.ask("fork", this.#number, { output: joined["prefix"] as string });
    const { error } = await this.#fork;
    this.#refused = error !== undefined;
    if (error !== undefined) throw ended(error);
    this.#connection = await this.#called(this.#listener);
    // Its end is the sandbox's; without a listener an error would end this process.
    this.#connection.on("error", () => undefined);
  }

  async #called(listener: GuestListener): Promise<GuestSocket> {
    const tooSoon = this.exited.then((exit): never => {
      throw ended(words(exit));
    });
    // Nobody is waited for any more because it has ended: then that is the reason.
    const called = listener.connected.catch(() => tooSoon);
    const found = await within(Promise.race([called, tooSoon]), CALL_MS);
    if (found === undefined) throw ended(`it did not call within ${CALL_MS / 1_000} s`);
    return found;
  }

  /** Tells the guest what it is to run; frames may be written right behind it. */
  assign(spec: SandboxSpec, environment: Readonly<Record<string, string>>): void {
    const assignment = encodeFrame({ environment, packages: spec.packages ?? [] });
    if (assignment === undefined)
      throw sandboxError(
        "OL_SANDBOX_BAD_OPTIONS",
        "The sandbox's description (its environment, mostly) is larger than 64 KiB.",
      );
    this.connection.write(assignment);
  }

  /** Ends every process of it, and waits until nothing of it is left; the others in its container live on. Idempotent. */
  kill(): Promise<void> {
    this.#killing ??= this.#killIt();
    return this.#killing;
  }

  async #killIt(): Promise<void> {
    const forked = await this.#wasForked();
    if (!this.#over && !forked) this.#end({ reason: "killed" });
    if (!this.#over) {
      const timer = setTimeout(() => this.#giveUp(`sandbox ${this.id} did not end`), END_MS);
      // Its end is what counts. A channel that is broken ends the container, and so this.
      this.#home.channel.ask("kill", this.#number).catch(() => undefined);
      await this.exited;
      clearTimeout(timer);
    }
    await this.#cleanUp();
  }

  async #wasForked(): Promise<boolean> {
    if (this.#fork === undefined) return false;
    try {
      return (await this.#fork).error === undefined;
    } catch {
      // The container is at its end, and tells this leaf of it.
      return true;
    }
  }

  /** The zygote says that nothing is left of it. */
  async ended(status: number): Promise<void> {
    this.#told = true;
    const exit = await this.#exitOf(status);
    this.#end(exit);
    await this.#cleanUp();
  }

  /** Its container has ended. */
  async containerEnded(exit: SandboxExit): Promise<void> {
    this.#end(exit);
    await this.#cleanUp();
  }

  pause(): Promise<void> {
    return this.#inTurn("OL_SANDBOX_PAUSE_FAILED", true, "stop");
  }

  resume(): Promise<void> {
    return this.#inTurn("OL_SANDBOX_RESUME_FAILED", false, "cont");
  }

  /**
   * Its processes' memory, of a page that several processes of the container have a part each, and an equal part of what is in
   * /tmp and /dev/shm: as its zygote says, and no more than all of the container holds.
   */
  async memoryBytes(): Promise<number> {
    if (this.#over) return 0;
    try {
      const { bytes } = await this.#home.channel.ask("measure", this.#number);
      if (bytes === undefined) return await this.#home.equalShare();
      return Math.min(bytes, await this.#home.wholeBytes());
    } catch (error) {
      if (this.#over || isOlError(error, "OL_SANDBOX_CREATE_FAILED")) return 0;
      throw error;
    }
  }

  /** One after the other; a state that it has already, or its end, is what was asked for. */
  #inTurn(code: PauseCode, paused: boolean, op: "stop" | "cont"): Promise<void> {
    const before = this.#turn;
    const done = (async () => {
      await before;
      if (this.#over || this.#killing !== undefined || this.#paused === paused) return;
      await this.#change(code, paused, op);
    })();
    this.#turn = done.catch(() => undefined);
    return done;
  }

  async #change(code: PauseCode, paused: boolean, op: "stop" | "cont"): Promise<void> {
    try {
      const { error } = await this.#home.channel.ask(op, this.#number);
      if (error !== undefined) throw new Error(error);
      this.#paused = paused;
    } catch (error) {
      // Of a channel that is broken: the container is at its end, and so is this.
      if (isOlError(error)) await this.exited;
      if (this.#over || this.#killing !== undefined) return;
      throw sandboxError(code, messageOf(error), { cause: error });
    }
  }

  async #exitOf(status: number): Promise<SandboxExit> {
    if (this.#killing !== undefined) return { reason: "killed" };
    const number = status & SIGNAL_MASK;
    if (number === 0) return { reason: "exit", code: status >> 8 };
    if (number === KILL_SIGNAL && (await this.#home.ranOutOfMemory())) return { reason: "out-of-memory" };
    return { reason: "signal", signal: signalName(number) ?? `signal ${number}` };
  }

  #end(exit: SandboxExit): void {
    if (this.#over) return;
    this.#over = true;
    this.#listener?.close();
    this.#exit.resolve(exit);
    // Else its end comes by itself, and before it its last words.
    if (exit.reason === "lost") this.#connection?.destroy();
  }

  #cleanUp(): Promise<void> {
    this.#cleaned ??= this.#leave();
    return this.#cleaned;
  }

  async #leave(): Promise<void> {
    if (!this.#joined) return;
    try {
      await this.#home.kit.porter.request("leave", { sandbox: this.id });
    } catch (error) {
      // Without the porter nobody can remove directories: the next start does.
      if (!isOlError(error, "OL_SANDBOX_BROKER_LOST")) throw error;
    }
  }
}

const ended = (why: string): Error =>
  sandboxError("OL_SANDBOX_CREATE_FAILED", `The sandbox ended before its runtime had begun: ${why}.`);
