import type { OlError } from "@ol/common";

import { sandboxError } from "../errors.ts";

/** What a call hears that ran, or waited for its code to be loaded, for too long. */
export const timeLimitError = (timeoutMs: number, loaded: boolean): OlError =>
  sandboxError(
    "OL_SANDBOX_TIMEOUT",
    loaded
      ? `The call ran longer than ${timeoutMs} ms.`
      : `The lambda's code was not loaded within ${timeoutMs} ms.`,
    { details: { timeoutMs } },
  );

/** What the other calls of a sandbox hear when one ran over its limit. */
export const overrunError = (cause: OlError): OlError =>
  sandboxError("OL_SANDBOX_DESTROYED", "The sandbox was destroyed: a call ran over its time limit.", {
    cause,
  });

/** What a call hears that was asked back from behind another, and had not begun. */
export const recalledError = (): OlError =>
  sandboxError("OL_SANDBOX_RECALLED", "The sandbox gave the call back before it began.", {
    details: { behind: true },
  });

/** What a call hears whose stream the guest reset. */
export const resetError = (code: number): OlError =>
  sandboxError("OL_SANDBOX_PROTOCOL", `The sandbox gave up on the call (reset ${code}).`, {
    details: { reset: code },
  });

/** What a call hears whose app gave up on it, as it does when it fails after it began its reply. */
export const appFailedError = (code: number): OlError =>
  sandboxError("OL_SANDBOX_APP_FAILED", "The app failed in the middle of its reply.", {
    details: { reset: code },
  });

/** What who cancelled a call hears when it is over. */
export const cancelledError = (): OlError =>
  sandboxError("OL_SANDBOX_CANCELLED", "The call was over after its client had left.");
