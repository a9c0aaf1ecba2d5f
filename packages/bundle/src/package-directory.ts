import { createHash } from "node:crypto";

import { badLock, type Pin, pinFault } from "./lock.ts";
import { isNormalizedPackageName } from "./package-name.ts";
import { shown } from "./problems.ts";

/** What the name of a package's directory says. */
export interface PackageDirectory {
  readonly name: string;
  /** As the directory spells it: `+` and `!` of the version are `_`. */
  readonly version: string;
  /** 12 hex digits, different for other files of the same version. */
  readonly hash: string;
}

const DIRECTORY = /^(?<name>.+)-(?<version>[A-Za-z0-9._]+)-(?<hash>[0-9a-f]{12})$/u;

/**
 * The name of the directory that holds a pin's files in the store: `<name>-<version>-<12 hex>`, one for each pin and never
 * anything else than one name. Fails with OL_BUNDLE_BAD_LOCK for what is no pin.
 */
export const packageDirectory = (pin: Pin): string => {
  const fault = pinFault(pin);
  if (fault !== undefined) throw badLock(`not a pin, ${shown(pin.name)} ${shown(pin.version)}: ${fault}`);
  const version = pin.version.replaceAll(/[^A-Za-z0-9._-]/gu, "_");
  // `1!0` and `1+0` are the same by now.
  const identity = version === pin.version ? pin.hashes : [...pin.hashes, pin.version];
  const hash = createHash("sha256").update(identity.join("\n")).digest("hex").slice(0, 12);
  return `${pin.name}-${version}-${hash}`;
};

/** Takes such a name apart; undefined if it is none. */
export const parsePackageDirectory = (directory: string): PackageDirectory | undefined => {
  const { name = "", version = "", hash = "" } = DIRECTORY.exec(directory)?.groups ?? {};
  return isNormalizedPackageName(name) ? { name, version, hash } : undefined;
};
