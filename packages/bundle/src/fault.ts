import { isOlError, type OlError } from "@ol/common";

import { bundleError } from "./errors.ts";

/** The kernel's error code, such as ENOENT; undefined for anything that is not a system error. */
export const errnoOf = (error: unknown): string | undefined => {
  if (!(error instanceof Error) || !("syscall" in error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
};

/** A path inside the bundle, fit for a message: a stranger chose it. */
export const quoted = (path: string): string => JSON.stringify(path === "" ? "." : path.slice(0, 200));

/** What a failed system call on a bundle's own file means. Messages hold paths inside the bundle only. */
export const readFault = (error: unknown, path: string): OlError => {
  const errno = errnoOf(error);
  if (path === "" && (errno === "ENOENT" || errno === "ENOTDIR"))
    return bundleError("OL_BUNDLE_NOT_FOUND", "there is no directory with the lambda's code", {
      cause: error,
    });
  // It was there a moment ago: somebody is copying or deleting.
  if (errno === "ENOENT" || errno === "ENOTDIR" || errno === "ELOOP") return changed(path, error);
  const reason = errno === "EACCES" ? "permission denied" : (errno ?? "unknown reason");
  const advice = errno === "EACCES" ? "; make it readable for the user that the worker runs as" : "";
  return bundleError(
    "OL_BUNDLE_UNREADABLE",
    `cannot read ${quoted(path)} of the lambda's code: ${reason}${advice}`,
    {
      cause: error,
    },
  );
};

/** Somebody writes the code while we read it. */
export const changed = (path: string, cause?: unknown): OlError =>
  bundleError(
    "OL_BUNDLE_CHANGING",
    `${quoted(path)} changed while it was read`,
    cause === undefined ? {} : { cause },
  );

/** What a failed system call on a copy of ours means; errors of our own stay as they are. */
export const writeFault = (error: unknown): Error => {
  if (isOlError(error)) return error;
  const reason = errnoOf(error) ?? "unknown reason";
  return bundleError("OL_BUNDLE_WRITE_FAILED", `cannot write a copy of the lambda's code: ${reason}`, {
    cause: error,
  });
};

/** Does what writes a copy; fails with OL_BUNDLE_WRITE_FAILED. */
export const writing = <T>(act: () => T): T => {
  try {
    return act();
  } catch (error) {
    throw writeFault(error);
  }
};
