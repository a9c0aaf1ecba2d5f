import type { OlError } from "@ol/common";

import { bundleError } from "./errors.ts";

/** What is wrong with one line: OL_BUNDLE_BAD_REQUIREMENTS. The message goes on where file, number and the line end. */
export const badRequirement = (message: string): OlError =>
  bundleError("OL_BUNDLE_BAD_REQUIREMENTS", message);
