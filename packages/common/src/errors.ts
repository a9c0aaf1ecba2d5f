/** Who has to act on an error: the caller (wrong input, a lambda's own fault) or whoever runs the system. */
export type ErrorCause = "user" | "system";

/** One line of a package's error table. */
export interface ErrorDefinition {
  readonly causedBy: ErrorCause;
  /** The HTTP status a worker answers with when this error ends a request. */
  readonly status: number;
  /** One sentence for the reference in docs/errors.md: when it happens and what to do. */
  readonly about: string;
}

/** A package's error codes. Every key begins with `OL_<PACKAGE>_`. */
export type ErrorTable = Readonly<Record<string, ErrorDefinition>>;

export interface OlErrorOptions {
  readonly cause?: unknown;
  /** Machine-readable facts that belong to this occurrence, never secrets. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/**
 * The one error class. Code decides by `code`, never by the message; people read the message, which says
 * what failed, why, and what to do next.
 */
export class OlError extends Error {
  readonly code: string;
  readonly causedBy: ErrorCause;
  readonly status: number;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: string, definition: ErrorDefinition, message: string, options: OlErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "OlError";
    this.code = code;
    this.causedBy = definition.causedBy;
    this.status = definition.status;
    this.details = options.details ?? {};
  }
}

export type ErrorFactory<Table extends ErrorTable> = (
  code: keyof Table & string,
  message: string,
  options?: OlErrorOptions,
) => OlError;

/** Makes the function by which a package raises the errors of its table. */
export const errorFactory =
  <const Table extends ErrorTable>(table: Table): ErrorFactory<Table> =>
  (code, message, options) =>
    new OlError(code, table[code] as ErrorDefinition, message, options);

/** Whether `error` is an OlError, with the given code if one is named. */
export const isOlError = (error: unknown, code?: string): error is OlError =>
  error instanceof OlError && (code === undefined || error.code === code);

/** The message of whatever was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
