/** Keys that the configuration will have once what they configure exists. */
export const LATER_KEYS: readonly string[] = ["worker_tls"];
