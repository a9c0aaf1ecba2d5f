import { adminError } from "../errors.ts";

/** The one way to say that a base cannot be had: OL_ADMIN_BASE. */
export const baseFailure = (message: string, cause?: unknown): Error =>
  adminError("OL_ADMIN_BASE", message, { cause });
