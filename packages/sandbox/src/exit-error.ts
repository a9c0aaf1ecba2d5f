import type { OlError } from "@ol/common";

import type { SandboxExit, SandboxSpec } from "./engine.ts";
import { sandboxError } from "./errors.ts";

/** What the open calls of a sandbox hear when it ended by itself; `exit` is undefined if the reason is not known. */
export const exitError = (exit: SandboxExit | undefined, spec: SandboxSpec): OlError => {
  switch (exit?.reason) {
    case "exit":
      return sandboxError("OL_SANDBOX_EXITED", `The lambda's process exited with code ${exit.code}.`, {
        details: { code: exit.code },
      });
    case "signal":
      return sandboxError("OL_SANDBOX_EXITED", `The lambda's process was ended by ${exit.signal}.`, {
        details: { signal: exit.signal },
      });
    case "out-of-memory":
      return sandboxError(
        "OL_SANDBOX_OUT_OF_MEMORY",
        `The lambda used more than its ${spec.limits.memoryMb} MB of memory and was killed.`,
        { details: { memoryMb: spec.limits.memoryMb } },
      );
    case "out-of-disk":
      return sandboxError(
        "OL_SANDBOX_OUT_OF_DISK",
        `The lambda had more than ${spec.limits.scratchMb} MB, or too many files, in its scratch directory and was killed.`,
        { details: { scratchMb: spec.limits.scratchMb } },
      );
    case "killed":
      return sandboxError("OL_SANDBOX_DESTROYED", "The sandbox was destroyed.");
    case "lost":
      return sandboxError(
        "OL_SANDBOX_DESTROYED",
        `The sandbox was lost: ${exit.message ?? "no reason is known"}.`,
        exit.notStarted === true ? { details: { notStarted: true } } : {},
      );
    default:
      return sandboxError("OL_SANDBOX_EXITED", "The lambda's process closed its connection.");
  }
};
