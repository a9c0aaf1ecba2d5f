import { ENDS } from "./hostile/ends.ts";
import { HEADERS } from "./hostile/headers.ts";
import type { HostileBundle } from "./hostile/hostile-bundle.ts";
import { LAMBDAS } from "./hostile/lambdas.ts";
import { NAMES, TWICE } from "./hostile/names.ts";
import { SIZES } from "./hostile/sizes.ts";
import { TYPES } from "./hostile/types.ts";

/**
 * Every one of them has to be refused, whoever gets it and however it came there; and what is the same without what makes it
 * hostile has to be taken. What `unpacks` is refused by checkCode only.
 */
export const HOSTILE_BUNDLES: readonly HostileBundle[] = [
  ...NAMES,
  ...TWICE,
  ...TYPES,
  ...HEADERS,
  ...ENDS,
  ...SIZES,
  ...LAMBDAS,
];
