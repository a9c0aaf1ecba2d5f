import type { OlError } from "@ol/common";

import { sandboxError } from "../errors.ts";
import type { CallFailure, ReplyHead } from "./call.ts";
import { MAX_META_PAIRS, decodeMeta, metaField, splitMeta } from "./codec.ts";

/** What a REPLY's meta says. */
export interface ReplyMeta {
  readonly failure: CallFailure | undefined;
  /** There if an app replied. */
  readonly head: ReplyHead | undefined;
  /** What is wrong with the reply, which then nobody gets. */
  readonly flaw: OlError | undefined;
}

/** The meta of a REPLY that has none: a function's success. */
export const NO_META: ReplyMeta = { failure: undefined, head: undefined, flaw: undefined };

const FAILURES: ReadonlySet<string> = new Set<CallFailure>(["bad-input", "exception", "bad-output"]);
const STATUS = /^[2-5][0-9]{2}$/;
/** RFC 9110, 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110, 5.5: visible characters, spaces, tabs and what is beyond ASCII. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const COLON = 58;

/**
 * Reads the meta of a REPLY, which has a head only if an app sent it. Throws FrameViolation when it is not pairs, or of
 * a function's reply too many.
 */
export const readReplyMeta = (meta: Buffer, ofApp: boolean): ReplyMeta => {
  const fields = ofApp ? splitMeta(meta) : decodeMeta(meta);
  if (fields.length > 2 * MAX_META_PAIRS)
    return flawed(`it has ${(fields.length >> 1) - 1} header fields; ${MAX_META_PAIRS - 1} is the most`);
  const error = metaField(fields, ":error");
  const status = metaField(fields, ":status");
  if (status === undefined) return error === undefined ? NO_META : failed(error);
  if (error !== undefined) return flawed("it has a status and an error");
  return ofApp ? readHead(status, fields) : flawed("it has a status, but is no app's");
};

const failed = (error: string): ReplyMeta => {
  if (FAILURES.has(error)) return { failure: error as CallFailure, head: undefined, flaw: undefined };
  const flaw = sandboxError("OL_SANDBOX_PROTOCOL", "The sandbox answered with an unknown kind of error.");
  return { failure: undefined, head: undefined, flaw };
};

const readHead = (status: string, fields: readonly string[]): ReplyMeta => {
  if (!STATUS.test(status)) return flawed(`its status is ${shown(status)}, and not from 200 to 599`);
  const headers: string[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const name = fields[at] as string;
    if (name.charCodeAt(0) === COLON) continue;
    const value = fields[at + 1] as string;
    if (!TOKEN.test(name)) return flawed(`${shown(name)} cannot be the name of a header field`);
    if (!VALUE.test(value))
      return flawed(`the header field ${shown(name)} has a control character in its value`);
    headers.push(name, value);
  }
  return { failure: undefined, head: { status: Number(status), headers }, flaw: undefined };
};

const flawed = (what: string): ReplyMeta => ({
  failure: undefined,
  head: undefined,
  flaw: sandboxError("OL_SANDBOX_BAD_REPLY", `The lambda's reply cannot be sent as HTTP: ${what}.`),
});

/** Text of a stranger in a message: short, and no control characters. */
const shown = (text: string): string => JSON.stringify(text.slice(0, 40));
