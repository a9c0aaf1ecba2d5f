import type { OlError } from "@ol/common";

import { bundleError } from "./errors.ts";
import { quoted } from "./fault.ts";

/** A packed bundle that is damaged, or is none. */
export const badArchive = (why: string, cause?: unknown): OlError =>
  bundleError("OL_BUNDLE_BAD_ARCHIVE", `the bundle ${why}`, cause === undefined ? {} : { cause });

/** Something in a packed bundle that no bundle may hold; `why` is the end of a sentence. */
export const unsafeEntry = (path: string, why: string): OlError =>
  bundleError("OL_BUNDLE_UNSAFE_FILE", `${quoted(path)} in the bundle ${why}`);

/** More than a limit allows; `what` is a sentence. */
export const tooLarge = (what: string): OlError => bundleError("OL_BUNDLE_TOO_LARGE", what);

/** A limit in bytes, for messages. */
export const sizeText = (bytes: number): string =>
  bytes >= 1024 * 1024 && bytes % (1024 * 1024) === 0 ? `${bytes / 1024 / 1024} MiB` : `${bytes} bytes`;
