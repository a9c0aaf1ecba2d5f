import { entry, GNU } from "../tar-builder.ts";

/** A regular file. */
export const file = (name: string | Buffer, content = "x"): Buffer => entry({ name, content });
/** A directory. */
export const directory = (name: string): Buffer => entry({ name, type: "5", mode: 0o755 });
/** A hard link ("1") or a symbolic one. */
export const link = (name: string, to: string, type: "1" | "2" = "2"): Buffer =>
  entry({ name, type, link: to });
/** The header by which GNU tar gives what follows a long name, or with "K" a long target. */
export const longName = (name: string, type = "L"): Buffer =>
  entry({ name: "././@LongLink", type, magic: GNU, content: `${name}\0` });
/** Zeros. */
export const nul = (length: number): Buffer => Buffer.alloc(length);
