import { OlError } from "@ol/common";

import { SANDBOX_ERRORS, type SandboxErrorCode } from "./errors.ts";

/** Whether the call that failed with `error` certainly ran nowhere: not one byte of it was read by a sandbox. */
export const isNotStarted = (error: OlError): boolean => error.details["notStarted"] === true;

/**
 * Whether the call that failed with `error` had not begun although its sandbox has read it: it waited behind another
 * one, and our runtime begins a call only after the one before was answered.
 */
export const wasBehind = (error: OlError): boolean => error.details["behind"] === true;

/** The same error for a call of which no byte was handed over. */
export const asNotStarted = (error: OlError): OlError => withDetail(error, "notStarted");

/** The same error for a call that waited in the sandbox behind another. */
export const asBehind = (error: OlError): OlError => withDetail(error, "behind");

const withDetail = (error: OlError, name: string): OlError => {
  const definition = SANDBOX_ERRORS[error.code as SandboxErrorCode] as
    | (typeof SANDBOX_ERRORS)[SandboxErrorCode]
    | undefined;
  if (definition === undefined || error.details[name] === true) return error;
  const details = { ...error.details, [name]: true };
  return new OlError(error.code, definition, error.message, { cause: error.cause, details });
};
