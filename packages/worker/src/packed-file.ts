import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";

import { bundleError, type PackedLimits, unpackBundle } from "@ol/bundle";

/** As in @ol/bundle's fingerprints: what changed so shortly before may change again without any stamp changing. */
const STAMP_DOUBT_MS = 50;
/** A file that is being copied grows meanwhile; what is wrong with it then is most likely that. */
const BEING_WRITTEN_MS = 1_000;

interface Look {
  readonly fingerprint: string;
  /** How long ago it was changed. */
  readonly ageMs: number;
}

const look = async (file: string): Promise<Look> => {
  const nowMs = Date.now();
  const { ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
  const hash = createHash("sha256").update([ino, size, mtimeNs, ctimeNs].join("\0"));
  const ageMs = nowMs - Number(ctimeNs / 1_000_000n);
  if (ageMs < STAMP_DOUBT_MS) hash.update(randomBytes(16));
  return { fingerprint: hash.digest("hex"), ageMs };
};

const looked = async (file: string): Promise<Look> => {
  try {
    return await look(file);
  } catch (error) {
    const gone = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw bundleError(
      gone ? "OL_BUNDLE_NOT_FOUND" : "OL_BUNDLE_UNREADABLE",
      gone ? "there is no packed bundle of the lambda" : "the lambda's packed bundle cannot be read",
      { cause: error },
    );
  }
};

/** A word for the state of a packed bundle that is cheap to have; see fingerprintDirectory. */
export const fingerprintFile = async (file: string): Promise<string> => (await looked(file)).fingerprint;

/** Unpacks a bundle that somebody may be replacing; as unpackBundle, and fails with OL_BUNDLE_CHANGING too. */
export const unpackFile = async (
  file: string,
  target: string,
  limits: PackedLimits,
  signal: AbortSignal,
): Promise<{ readonly digest: string; readonly fingerprint: string }> => {
  const before = await looked(file);
  try {
    const { digest } = await unpackBundle(createReadStream(file), target, { limits, signal });
    return { digest, fingerprint: before.fingerprint };
  } catch (error) {
    const after = await looked(file);
    if (signal.aborted || (after.fingerprint === before.fingerprint && after.ageMs >= BEING_WRITTEN_MS))
      throw error;
    throw bundleError("OL_BUNDLE_CHANGING", "the lambda's packed bundle is being written", { cause: error });
  }
};
