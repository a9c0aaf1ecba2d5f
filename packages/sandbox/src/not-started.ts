import { OlError } from "@ol/common";

import { SANDBOX_ERRORS, type SandboxErrorCode } from "./errors.ts";

/** Whether the call that failed with `error` certainly ran nowhere: not one byte of it was read by a sandbox. */
export const isNotStarted = (error: OlError): boolean => error.details["notStarted"] === true;

/** The same error for a call of which no byte was handed over. */
export const asNotStarted = (error: OlError): OlError => {
  const definition = SANDBOX_ERRORS[error.code as SandboxErrorCode] as
    | (typeof SANDBOX_ERRORS)[SandboxErrorCode]
    | undefined;
  if (definition === undefined || isNotStarted(error)) return error;
  const details = { ...error.details, notStarted: true };
  return new OlError(error.code, definition, error.message, { cause: error.cause, details });
};
