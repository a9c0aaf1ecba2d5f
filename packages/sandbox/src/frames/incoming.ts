import type { CodeKind } from "./call.ts";
import { DEFAULT_WINDOW, FrameViolation, decodeMeta, metaField } from "./codec.ts";

/** What a guest says of itself in its HELLO. */
export interface GuestHello {
  /** The highest version of the protocol that it speaks. */
  readonly version: number;
  /** Credit of a new stream towards it, in body bytes. */
  readonly window: number;
  /** How many streams it takes at once. */
  readonly streams: number;
  readonly runtime: string;
}

/** Reads a HELLO's meta; throws FrameViolation. */
export const readHello = (meta: Buffer): GuestHello => {
  const fields = decodeMeta(meta);
  return {
    version: readCount(fields, ":v", undefined),
    window: readCount(fields, ":window", DEFAULT_WINDOW),
    streams: readCount(fields, ":streams", 1),
    runtime: metaField(fields, ":runtime") ?? "",
  };
};

const readCount = (fields: readonly string[], name: string, fallback: number | undefined): number => {
  const text = metaField(fields, name);
  if (text === undefined && fallback !== undefined) return fallback;
  if (text === undefined || !/^[1-9][0-9]{0,8}$/.test(text))
    throw new FrameViolation(`a HELLO without a usable ${name}`);
  return Number(text);
};

const KINDS: ReadonlySet<string> = new Set<CodeKind>(["function", "wsgi", "asgi"]);

/** What the code is, of the EVENT `ready`; throws FrameViolation if it is nothing that there is. */
export const readKind = (meta: Buffer): CodeKind => {
  const kind = metaField(decodeMeta(meta), ":kind") ?? "function";
  if (!KINDS.has(kind)) throw new FrameViolation("code of an unknown kind");
  return kind as CodeKind;
};

/** An EVENT's name; "" if it has none, which is as good as an unknown one. */
export const readEvent = (meta: Buffer): string => metaField(decodeMeta(meta), ":event") ?? "";

/** A WINDOW's credit. */
export const readCredit = (body: Buffer): number => {
  const credit = readUint32(body);
  if (credit === 0) throw new FrameViolation("a WINDOW without credit");
  return credit;
};

/** A RESET's code. */
export const readResetCode = (body: Buffer): number => readUint32(body);

const readUint32 = (body: Buffer): number => {
  if (body.length !== 4) throw new FrameViolation("a number that is not four bytes long");
  return body.readUInt32BE(0);
};
