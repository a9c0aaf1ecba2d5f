import { FORK_MS_PER_MB, LEAST_NODE_MB } from "@ol/lambda";
import type { PackageImport, SandboxSpec, ZygoteSpec } from "@ol/sandbox";
import { type FakeCode, type FakeContext, FakeEngine } from "@ol/sandbox/testing";

import type { Random } from "../zygotes/random.ts";
import type { VirtualLambda } from "./lambdas.ts";
import type { Machine } from "./machine.ts";
import type { PackageIndex } from "./package-index.ts";
import { OneThread } from "./shared-cpu.ts";

const MIB = 1_048_576;

/** What a zygote has imported, those above it included. */
interface Ancestry {
  readonly directories: ReadonlySet<string>;
  readonly mb: number;
}

const NOTHING: Ancestry = { directories: new Set(), mb: 0 };

/**
 * What the sandboxes of one worker take of a machine: it makes, ends and forks in the time that costs say, on the machine's CPU. The engine
 * itself is the fake one of @ol/sandbox, which speaks real frames.
 */
export class VirtualHost {
  readonly engine: FakeEngine;
  readonly #machine: Machine;
  readonly #index: PackageIndex;
  readonly #random: Random;
  readonly #broker: OneThread;
  readonly #zygotes = new Map<string, Ancestry>();
  /** What each sandbox has of its own, in MB. */
  readonly #heldMb = new Map<string, number>();

  constructor(machine: Machine, lambdas: readonly VirtualLambda[], index: PackageIndex, random: Random) {
    this.#machine = machine;
    this.#index = index;
    this.#random = random;
    this.#broker = new OneThread(machine.cpu);
    this.engine = new FakeEngine({
      code: Object.fromEntries(lambdas.map((lambda) => [lambda.name, this.#codeOf(lambda)])),
      findsModule: () => true,
      beforeCreate: (id, spec) => this.#fork(id, spec),
      beforeGone: (id) => this.#end(id),
      memoryBytes: (id) => (this.#heldMb.get(id) ?? 0) * MIB,
      beforeZygote: (id, spec) => this.#grow(id, spec),
      zygoteImport: (_, spec) => this.#importOf(spec),
    });
  }

  async #fork(id: string, spec: SandboxSpec): Promise<void> {
    const { costs } = this.#machine;
    const { directories, mb } = this.#zygotes.get(spec.zygote ?? "") ?? NOTHING;
    this.#heldMb.set(id, costs.guestMb + this.#index.costOf(spec.packages ?? [], directories).mb);
    await this.#broker.run(costs.forkMs + FORK_MS_PER_MB * mb);
    void this.#broker.run(costs.restockMs);
  }

  async #end(id: string): Promise<void> {
    const { costs, cpu } = this.#machine;
    await cpu.run(costs.destroyMs + costs.destroyMsPerMb * (this.#heldMb.get(id) ?? 0));
    this.#heldMb.delete(id);
  }

  async #grow(id: string, spec: ZygoteSpec): Promise<void> {
    const { costs, cpu } = this.#machine;
    const { ms } = this.#importOf(spec);
    const above = this.#zygotes.get(spec.parent ?? "") ?? NOTHING;
    const { mb } = this.#index.costOf(spec.packages, new Set());
    await this.#broker.run(costs.forkMs + FORK_MS_PER_MB * above.mb);
    await cpu.run(costs.zygoteMs + ms);
    this.#zygotes.set(id, { directories: new Set(spec.packages), mb });
  }

  #importOf({ parent, packages }: ZygoteSpec): { readonly ms: number; readonly memoryMb: number } {
    const above = this.#zygotes.get(parent ?? "") ?? NOTHING;
    const { ms, mb } = this.#index.costOf(packages, above.directories);
    return { ms: ms * this.#machine.costs.importFactor, memoryMb: LEAST_NODE_MB + mb };
  }

  #codeOf(lambda: VirtualLambda): FakeCode {
    return {
      load: (context, spec) => this.#load(lambda, context, spec),
      imports: (spec) => ({ packages: this.#report(spec) }),
      call: (_, { signal }) => this.#call(lambda, signal),
    };
  }

  async #load(
    { loadMs }: VirtualLambda,
    { connection }: Pick<FakeContext, "connection">,
    spec: SandboxSpec,
  ): Promise<void> {
    const { costs, cpu } = this.#machine;
    const gone = new AbortController();
    connection.once("close", () => gone.abort());
    const { directories } = this.#zygotes.get(spec.zygote ?? "") ?? NOTHING;
    const { ms } = this.#index.costOf(spec.packages ?? [], directories);
    await cpu.run(costs.loadMs + loadMs + ms * costs.importFactor, gone.signal);
  }

  #report({ packages = [], zygote }: SandboxSpec): readonly PackageImport[] {
    const { directories } = this.#zygotes.get(zygote ?? "") ?? NOTHING;
    const { importFactor } = this.#machine.costs;
    return packages
      .filter((directory) => !directories.has(directory))
      .map((directory) => {
        const { ms, mb } = this.#index.costOf([directory], directories);
        const modules = this.#index.modulesOf(directory);
        return { directory, ms: ms * importFactor, kb: mb * 1024, modules };
      });
  }

  async #call({ waitMs, cpuMs, spread }: VirtualLambda, signal: AbortSignal): Promise<string> {
    const { costs, cpu, time } = this.#machine;
    const factor = spread === "exponential" ? this.#random.exponential(1) : 1;
    await cpu.run(costs.guestMs + cpuMs * factor, signal);
    const idleMs = waitMs * factor + costs.lateMs;
    if (idleMs > 0) await time.sleep(idleMs);
    return "done";
  }
}
