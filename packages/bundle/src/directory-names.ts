import { readdirSync } from "node:fs";

import { bundleError } from "./errors.ts";
import { quoted, readFault } from "./fault.ts";

// ignoreBOM, so that it is not dropped: the name would be another one.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The names in a directory; `path` is how messages call it. Python, tar and JSON would each read a name that
 * is not UTF-8 in another way, so it is refused.
 */
export const namesIn = (directory: string, path: string): string[] => {
  let raw: Buffer[];
  try {
    raw = readdirSync(directory, { encoding: "buffer" });
  } catch (error) {
    throw readFault(error, path);
  }
  return raw.map((name) => {
    try {
      return utf8.decode(name);
    } catch (error) {
      throw bundleError(
        "OL_BUNDLE_UNSAFE_FILE",
        `${quoted(`${path}/${name.toString("latin1")}`)} in the lambda's code has a name that is not UTF-8`,
        { cause: error },
      );
    }
  });
};
