import { readJsonObject, writeJsonFile } from "./json-file.ts";
import type { WorkerTemplate } from "./template.ts";
import { validateTemplate } from "./validate.ts";

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `patch` laid over `base`: objects are merged, null removes a key, anything else replaces (RFC 7396). */
export const merged = (
  base: Readonly<Record<string, unknown>>,
  patch: Readonly<Record<string, unknown>>,
): Record<string, unknown> => {
  const result = new Map(Object.entries(base));
  for (const [key, value] of Object.entries(patch)) {
    const old = result.get(key);
    if (value === null) result.delete(key);
    else result.set(key, isObject(value) ? merged(isObject(old) ? old : {}, value) : value);
  }
  return Object.fromEntries(result);
};

const withoutNulls = (value: Readonly<Record<string, unknown>>): Record<string, unknown> => merged({}, value);

/**
 * Merges `patch` into the template in `file` and writes it. If anything in the patch or in the result is
 * wrong, fails with OL_CONFIG_INVALID and writes nothing. null removes a key. `where` is how messages call
 * the patch.
 */
export const mergeTemplate = async (
  file: string,
  patch: Readonly<Record<string, unknown>>,
  where = "setconf",
): Promise<WorkerTemplate> => {
  // The patch first: a person wants to hear about what they typed, not about the file.
  validateTemplate(withoutNulls(patch), where);
  const result = validateTemplate(merged(await readJsonObject(file), patch), file);
  await writeJsonFile(file, result);
  return result;
};
