/** Keys whose values are secret by their name: keys, tokens and passwords, a lambda's environment, lists of keys, an index with a password in it. */
const SECRET =
  /secret|token|passw|credential|authorization|cookie|(?:access|api|private)[_-]?key|^environment$|^env$|^(?:registry_?)?keys$|^pip_?mirror$/iu;

const REDACTED = "[redacted]";
/** Deeper than any log field of ours; stops a structure that contains itself. */
const MAX_DEPTH = 8;

/** Whether what belongs to `key` must not be shown. */
export const isSecretKey = (key: string): boolean => SECRET.test(key);

const describeError = (error: Error, depth: number): unknown => ({
  message: error.message,
  ...("code" in error && typeof error.code === "string" ? { code: error.code } : {}),
  ...(error.cause === undefined ? {} : { cause: redact(error.cause, depth + 1) }),
  stack: error.stack,
});

/** A copy of `value` fit for a log: secrets by key name replaced, errors turned into plain objects. */
export const redact = (value: unknown, depth = 0): unknown => {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value;
  if (depth >= MAX_DEPTH) return "[too deep]";
  if (value instanceof Error) return describeError(value, depth);
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, isSecretKey(key) ? REDACTED : redact(item, depth + 1)]),
  );
};
