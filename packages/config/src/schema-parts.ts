/** The part of JSON schema that we use, with what a person wants to know about each key. */
export interface KeySchema {
  readonly type: string | readonly string[];
  readonly description: string;
  /** Completes "must be ..." in messages. */
  readonly expects: string;
  readonly default?: unknown;
  /** The default in words, where it depends on the machine. */
  readonly defaultText?: string;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly items?: KeySchema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly properties?: Readonly<Record<string, KeySchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: false;
}

/** A whole number in that range. */
export const whole = (
  minimum: number,
  maximum: number,
): Pick<KeySchema, "type" | "minimum" | "maximum" | "expects"> => ({
  type: "integer",
  minimum,
  maximum,
  expects: `a whole number from ${minimum} to ${maximum}`,
});

/** A path, relative to where the file belongs. */
export const path = (
  description: string,
  fallback: Pick<KeySchema, "default" | "defaultText">,
): KeySchema => ({
  type: "string",
  minLength: 1,
  maxLength: 4096,
  pattern: "^[^\\u0000]*$",
  expects: "a path",
  description: `${description} A relative path begins at the cluster directory, or at the file's own directory where there is no cluster.`,
  ...fallback,
});

/** A group of keys. */
export const section = (description: string, properties: Readonly<Record<string, KeySchema>>): KeySchema => ({
  type: "object",
  expects: `an object with the keys ${Object.keys(properties).join(", ")}`,
  description,
  properties,
  additionalProperties: false,
});

/** The secret of a cluster. */
export const TOKEN: Omit<KeySchema, "description"> = {
  type: "string",
  minLength: 16,
  maxLength: 1024,
  expects: "at least 16 characters",
};

/**
 * The secret of a pair of keys: whatever the registry has for one, workers take. A line end is that of the file which somebody
 * took it from.
 */
export const SECRET_KEY: Omit<KeySchema, "description"> = {
  type: "string",
  pattern: "^\\P{Cc}{8,1024}$",
  expects: "8 to 1024 characters, and no line end",
};

/** Peers whose `fields` are believed. `more` is said besides. */
export const trustedProxies = (peers: string, fields: string, more = ""): KeySchema => ({
  type: "array",
  maxItems: 1000,
  items: {
    type: "string",
    format: "ip-or-cidr",
    expects: 'an IP address or a range such as "10.0.0.0/8"',
    description: "One address or range.",
  },
  expects: 'a list of IP addresses or ranges such as ["10.0.0.0/8"]',
  description: `Peers, such as ${peers}, whose ${fields} are believed. Everybody else's are removed.${more}`,
  default: [],
});

/** Where a process logs. */
export const LOG_OUTPUT: KeySchema = {
  type: "string",
  maxLength: 4096,
  pattern: "^[^\\u0000]*$",
  expects: '"" (standard output), "stderr" or a path',
  description:
    'Where the log goes, one JSON object a line: `""` is standard output, `stderr` standard error, anything else a file.',
  default: "",
};

/** A port to listen on. */
export const PORT: Pick<KeySchema, "type" | "minimum" | "maximum" | "format" | "expects"> = {
  type: ["integer", "string"],
  minimum: 0,
  maximum: 65_535,
  format: "port",
  expects: 'a port number from 0 to 65535, as a number or a string such as "8080"',
};

export const HOUR_MS = 3_600_000;
