import type { FakeEngineOptions } from "@ol/sandbox/testing";

/** What goes wrong with the engine at present. */
export interface Trouble {
  /** So many of the next sandboxes cannot be made. */
  failing: number;
  /** Making, pausing, resuming and ending a sandbox take so long. */
  slowMs: number;
  /** Whether anything ever took long: then it may still do so. */
  wasSlow: boolean;
  /** No sandbox is ever made, until whoever asked gives up. */
  stuck: boolean;
  pauseFails: boolean;
  resumeFails: boolean;
  /** What a paused sandbox holds, in MB. */
  heldMb: number;
}

export const NO_TROUBLE: Omit<Trouble, "wasSlow"> = {
  failing: 0,
  slowMs: 0,
  stuck: false,
  pauseFails: false,
  resumeFails: false,
  heldMb: 5,
};

const MIB = 1_048_576;

const failIf = (fails: boolean): void => {
  if (fails) throw new Error("as the model wants it");
};

/** An engine's options that do as `trouble` says at that moment. */
export const troubled = (trouble: Trouble): FakeEngineOptions => {
  const slowly = async (): Promise<void> => {
    if (trouble.slowMs > 0) await new Promise((resolve) => setTimeout(resolve, trouble.slowMs));
  };
  return {
    beforeCreate: async (_id, _spec, signal) => {
      if (trouble.stuck) await new Promise((resolve) => signal?.addEventListener("abort", resolve));
      await slowly();
      failIf(trouble.failing > 0 && (trouble.failing -= 1) >= 0);
    },
    beforePause: async () => {
      await slowly();
      failIf(trouble.pauseFails);
    },
    beforeResume: async () => {
      await slowly();
      failIf(trouble.resumeFails);
    },
    beforeGone: slowly,
    memoryBytes: () => trouble.heldMb * MIB,
  };
};
