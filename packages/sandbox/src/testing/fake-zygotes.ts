import { type NetworkClass, deferred } from "@ol/common";

import type { EngineZygote, SandboxExit, ZygoteImport, ZygoteSpec } from "../engine.ts";
import { sandboxError } from "../errors.ts";

/** The package that every engine under test has: `ol_conformance`, in the directory of the same name. */
const MODULES = /^(ol_conformance(\..+)?|json|ssl)$/;

const FAKE_IMPORT: ZygoteImport = { ms: 1, memoryMb: 1, sought: [] };

/** Zygotes of a fake engine: names that can be forked from until they are ended. */
export class FakeZygotes {
  readonly #findsModule: (name: string) => boolean;
  readonly #zygotes = new Map<string, { spec: ZygoteSpec; end: (exit: SandboxExit) => void }>();

  constructor(findsModule: (name: string) => boolean = (name) => MODULES.test(name)) {
    this.#findsModule = findsModule;
  }

  get size(): number {
    return this.#zygotes.size;
  }

  make(id: string, spec: ZygoteSpec, imported: Partial<ZygoteImport> = {}): EngineZygote {
    if (this.#zygotes.has(id))
      throw sandboxError("OL_SANDBOX_BAD_OPTIONS", `There is a zygote ${id} already.`);
    if (spec.parent !== undefined) this.find(spec.parent, spec.network);
    const unknown = spec.modules.find((name) => !this.#findsModule(name));
    if (unknown !== undefined)
      throw sandboxError(
        "OL_SANDBOX_ZYGOTE_FAILED",
        `ModuleNotFoundError: No module named '${unknown}' (the fake engine has none)`,
      );
    const { promise: exited, resolve: settle } = deferred<SandboxExit>();
    const end = (exit: SandboxExit): void => {
      if (this.#zygotes.get(id)?.end === end) this.#zygotes.delete(id);
      settle(exit);
    };
    this.#zygotes.set(id, { spec, end });
    return {
      id,
      import: { ...FAKE_IMPORT, ...imported },
      exited,
      kill: async () => {
        end({ reason: "killed" });
        await exited;
      },
    };
  }

  /** Throws OL_SANDBOX_NO_ZYGOTE, or OL_SANDBOX_BAD_OPTIONS for one of another network. */
  find(id: string, network: NetworkClass): void {
    const found = this.#zygotes.get(id);
    if (found === undefined) throw sandboxError("OL_SANDBOX_NO_ZYGOTE", `There is no zygote ${id}.`);
    if (found.spec.network !== network)
      throw sandboxError("OL_SANDBOX_BAD_OPTIONS", `Zygote ${id} is one of network ${found.spec.network}.`);
  }

  end(id: string, exit: SandboxExit): void {
    this.#zygotes.get(id)?.end(exit);
  }

  endAll(exit: SandboxExit): void {
    for (const { end } of this.#zygotes.values()) end(exit);
  }
}
