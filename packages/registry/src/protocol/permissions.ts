import { s3Error } from "../s3-error.ts";
import type { Role } from "./authenticator.ts";
import type { Need, Operation } from "./operations/operation.ts";

const ALLOWED: Readonly<Record<Role, ReadonlySet<Need>>> = {
  admin: new Set(["read", "write", "administer"]),
  upload: new Set(["read", "write"]),
  read: new Set(["read"]),
};

/** Fails with AccessDenied. */
export const checkPermission = (role: Role, { name, needs }: Operation): void => {
  if (!ALLOWED[role].has(needs))
    throw s3Error("AccessDenied", `A key pair of the role ${role} may not do ${name}.`);
};
