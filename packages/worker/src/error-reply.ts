import { isOlError, type OlError } from "@ol/common";
import type { CallFailure } from "@ol/sandbox";

import { REPLY_HEADER, RETRY_AFTER_SEC } from "./reply-headers.ts";

/** An error as the client gets it: `text/plain`, one clear line (or a lambda's traceback). */
export interface ErrorReply {
  readonly status: number;
  readonly message: string;
  /** Name, value, name, value ... */
  readonly headers: readonly string[];
}

/** More than that of a stranger's error text is of no use to anybody. */
const MAX_TEXT = 64 * 1024;

const STATUS: Readonly<Record<CallFailure, number>> = { "bad-input": 400, exception: 500, "bad-output": 500 };

/** What a lambda's failure is answered with. The body is JSON {type, message} from the guest, and may be anything. */
export const failureReply = (failure: CallFailure, body: Buffer): ErrorReply => ({
  status: STATUS[failure],
  message: failureText(body),
  headers: [],
});

const failureText = (body: Buffer): string => {
  try {
    const { message } = JSON.parse(body.toString("utf8")) as { message?: unknown };
    if (typeof message === "string" && message !== "") return message.slice(0, MAX_TEXT);
  } catch {
    // Not what the runtime writes: the lambda wrote to its socket. Said below.
  }
  return "the lambda failed, and its error could not be read";
};

/**
 * What an error of ours is answered with. `started` is whether a byte of the call may have reached a sandbox. Text
 * of errors that the system caused stays in the log: it may name paths of this machine.
 */
export const errorReply = (error: unknown, started: boolean): ErrorReply => {
  if (!isOlError(error)) return { status: 500, message: "the worker failed to run the call", headers: [] };
  const { status } = error;
  return { status, message: publicText(error), headers: extraHeaders(error, started) };
};

/** Errors of the system whose text is made for callers. */
const SPEAKABLE = /^OL_(LAMBDA|WORKER)_/u;

const publicText = (error: OlError): string => {
  if (error.causedBy === "user" || SPEAKABLE.test(error.code)) return error.message.slice(0, MAX_TEXT);
  return `${GENERIC[error.code] ?? "the worker could not run the call"} (${error.code})`;
};

const GENERIC: Readonly<Record<string, string>> = {
  OL_SANDBOX_CREATE_FAILED: "the worker could not make a sandbox",
  OL_SANDBOX_NO_MEMORY: "the worker has no memory free for a sandbox",
  OL_SANDBOX_DAEMON_UNAVAILABLE: "the worker cannot reach its container daemon",
  OL_SANDBOX_BROKER_LOST: "the worker lost its sandboxes and is being restarted",
};

const extraHeaders = ({ status, code, details }: OlError, started: boolean): readonly string[] => {
  if (status === 429) return [REPLY_HEADER.retryAfter, RETRY_AFTER_SEC];
  if (status === 503) {
    const headers = [REPLY_HEADER.retryAfter, RETRY_AFTER_SEC];
    return started ? headers : [...headers, REPLY_HEADER.notStarted, "1"];
  }
  if (code === "OL_WORKER_METHOD_NOT_ALLOWED") return ["Allow", String(details["allow"])];
  return [];
};
