/** A bundle that has to be refused, and how. */
export interface HostileBundle {
  readonly name: string;
  readonly code:
    | "OL_BUNDLE_BAD_ARCHIVE"
    | "OL_BUNDLE_NO_HANDLER"
    | "OL_BUNDLE_TOO_LARGE"
    | "OL_BUNDLE_UNSAFE_FILE"
    | "OL_BUNDLE_BAD_CONFIG"
    | "OL_BUNDLE_BAD_REQUIREMENTS";
  readonly packed: Buffer;
  /** The same without what makes it hostile: to be taken. */
  readonly harmless: Buffer;
  /** It can be unpacked; what comes out is no lambda. */
  readonly unpacks?: true;
}

/** Names or types that would do harm. */
export const unsafe = (name: string, packed: Buffer, harmless: Buffer): HostileBundle => ({
  name,
  code: "OL_BUNDLE_UNSAFE_FILE",
  packed,
  harmless,
});

/** Bytes that are no archive as we read them. */
export const damaged = (name: string, packed: Buffer, harmless: Buffer): HostileBundle => ({
  name,
  code: "OL_BUNDLE_BAD_ARCHIVE",
  packed,
  harmless,
});

/** More than the limits allow. */
export const large = (name: string, packed: Buffer, harmless: Buffer): HostileBundle => ({
  name,
  code: "OL_BUNDLE_TOO_LARGE",
  packed,
  harmless,
});

/** A sound archive of what is no lambda. */
export const useless = (
  name: string,
  code: HostileBundle["code"],
  packed: Buffer,
  harmless: Buffer,
): HostileBundle => ({ name, code, packed, harmless, unpacks: true });
