import { type KeySchema, LOG_OUTPUT, path, PORT, SECRET_KEY, section, whole } from "./schema-parts.ts";

/** A week: damage is found while backups and workers still have what was damaged. */
const SCRUB_HOURS = 168;

const keyPair: KeySchema = {
  ...section("One pair of keys.", {
    access_key: {
      type: "string",
      minLength: 3,
      maxLength: 128,
      pattern: "^[!-~]+$",
      expects: "3 to 128 characters without spaces",
      description: "The name of the pair; it goes over the wire.",
    },
    secret_key: {
      ...SECRET_KEY,
      description: "What proves who a request is from; it never goes over the wire.",
    },
    role: {
      type: "string",
      enum: ["admin", "upload", "read"],
      expects: '"admin", "upload" or "read"',
      description: "What the pair may do.",
    },
  }),
  expects: "an object with the keys access_key, secret_key and role",
  required: ["access_key", "secret_key", "role"],
};

/** Every key of registry.json. All but `registry_keys` are optional. */
export const REGISTRY_SCHEMA: KeySchema = section("Configuration of the registry.", {
  registry_data_dir: path("Where the registry keeps everything; one process at a time has it.", {
    defaultText: "`registry-data` in the cluster directory",
  }),
  registry_url: {
    type: "string",
    format: "listen-address",
    expects: 'a host name or address to listen on, such as "localhost" or "0.0.0.0"',
    description:
      "The address that the registry listens on. `localhost` is 127.0.0.1 and ::1. With any other address it should have `registry_tls`: without, signatures keep requests from being forged, but not from being read.",
    default: "localhost",
  },
  registry_port: {
    ...PORT,
    description: "The TCP port that the registry listens on; 0 is any free one.",
    default: 9000,
  },
  registry_tls: section(
    "Serves HTTPS instead of HTTP. Both files are read at the start, and again when they change.",
    {
      cert: path("The certificate and those between it and the root, in PEM.", { defaultText: "none: HTTP" }),
      key: path("Its private key, in PEM, without a passphrase.", { defaultText: "none: HTTP" }),
    },
  ),
  registry_keys: {
    type: "array",
    minItems: 1,
    maxItems: 1000,
    items: keyPair,
    expects: "a list of at least one object with the keys access_key, secret_key and role",
    description:
      "The pairs of keys that requests are signed with. The role `admin` may do everything, `upload` everything with objects but nothing with buckets, `read` only read and list: the one for workers.",
    defaultText: "none: must be given",
  },
  registry_region: {
    type: "string",
    pattern: "^[A-Za-z0-9-]{1,64}$",
    expects: "1 to 64 letters, digits or '-'",
    description: "The region that clients have to sign for.",
    default: "us-east-1",
  },
  registry_bucket: {
    type: "string",
    pattern: "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    expects: "3 to 63 lower-case letters, digits, '.' or '-'",
    description: "A bucket that is made at the start if it is not there: the one with the lambdas' code.",
    default: "registry",
  },
  registry_limits: section("What one request may take.", {
    object_mb: {
      ...whole(1, 5 * 1024 * 1024),
      description: "The largest object, in MiB; of one request at most 5,120.",
      default: 5120,
    },
    idle_sec: {
      ...whole(1, 3600),
      description:
        "How long, in seconds, a client may be silent in the middle of a body, or not read a reply.",
      default: 60,
    },
  }),
  registry_scrub_hours: {
    ...whole(0, 24 * 365),
    description:
      "How often, in hours, everything is read again and compared with its digest, at a bounded rate; the first time after ten minutes. What is damaged is set aside, and named in the log. 0 is never.",
    default: SCRUB_HOURS,
  },
  registry_pages: {
    type: "string",
    enum: ["loopback", "all", "none"],
    expects: '"loopback", "all" or "none"',
    description:
      "Who sees /metrics and /stats, which have numbers but no names: callers on this machine, everybody, nobody. /status is for everybody.",
    default: "loopback",
  },
  log_output: LOG_OUTPUT,
});
