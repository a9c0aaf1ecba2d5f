/** Keys that the configuration will have once what they configure exists. */
export const LATER_KEYS: readonly string[] = ["worker_tls", "docker"];

/** Values that a key of this version will take later, as patterns of the whole value. */
export const LATER_VALUES: Readonly<Record<string, RegExp>> = {
  sandbox: /^docker$/u,
};
