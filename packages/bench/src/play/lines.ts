import { createReadStream } from "node:fs";

import { messageOf } from "@ol/common";

import { benchError } from "../errors.ts";

/** Longer than any line of the Azure traces, a day of minutes, by far. */
const MOST_BYTES = 1_048_576;
const NEW_LINE = 0x0a;
const BOM = /^\uFEFF/u;

/** A line of a trace with its number, from 1 on. */
export interface TraceLine {
  readonly number: number;
  readonly text: string;
}

/** OL_BENCH_USAGE, with the place. */
export const traceError = (path: string, number: number, why: string): Error =>
  benchError("OL_BENCH_USAGE", `${path}, line ${number}: ${why}`);

/** The lines of a file that are not empty, without their ends. Fails with OL_BENCH_USAGE, also for bytes that are no UTF-8. */
export async function* linesOf(path: string): AsyncGenerator<TraceLine> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let number = 0;
  const decode = (bytes: Buffer): TraceLine | undefined => {
    number += 1;
    let text: string;
    try {
      text = decoder.decode(bytes);
    } catch {
      throw traceError(path, number, "these bytes are no UTF-8 text");
    }
    if (number === 1) text = text.replace(BOM, "");
    text = text.trim();
    return text === "" ? undefined : { number, text };
  };
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      let begin = 0;
      for (let end = chunk.indexOf(NEW_LINE); end >= 0; end = chunk.indexOf(NEW_LINE, begin)) {
        const line = decode(Buffer.concat([rest, chunk.subarray(begin, end)]));
        rest = Buffer.alloc(0);
        begin = end + 1;
        if (line !== undefined) yield line;
      }
      rest = Buffer.concat([rest, chunk.subarray(begin)]);
      if (rest.length > MOST_BYTES)
        throw traceError(path, number + 1, `it is longer than ${MOST_BYTES} bytes; this is no trace`);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
    throw benchError("OL_BENCH_USAGE", `the trace cannot be read: ${messageOf(error)}`, { cause: error });
  }
  const last = rest.length === 0 ? undefined : decode(rest);
  if (last !== undefined) yield last;
}
