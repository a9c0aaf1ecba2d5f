import {
  HOUR_MS,
  type KeySchema,
  LOG_OUTPUT,
  path,
  PORT,
  section,
  TOKEN,
  trustedProxies,
  whole,
} from "./schema-parts.ts";

const MOST_WORKERS = 10_000;

const WORKER_URL = "^https?://[^\\s/?#@]+/?$";

const worker: KeySchema = {
  type: ["string", "object"],
  pattern: WORKER_URL,
  expects: 'a URL such as "http://10.0.0.7:8080", or {"id": "...", "url": "...", "slots": 8}',
  description: "One worker.",
  properties: {
    id: {
      type: "string",
      pattern: "^[A-Za-z0-9._:\\[\\]-]{1,200}$",
      expects: "1 to 200 letters, digits, '.', '_', ':' or '-'",
      description: "What it is called.",
    },
    url: {
      type: "string",
      pattern: WORKER_URL,
      expects: 'a URL such as "http://10.0.0.7:8080"',
      description: "Where it is.",
    },
    slots: { ...whole(1, 10_000), description: "Calls it runs at once." },
  },
  required: ["url"],
  additionalProperties: false,
};

/** Every key of load_balancer.json. All are optional. */
export const BALANCER_SCHEMA: KeySchema = section("Configuration of the load balancer.", {
  policy: {
    type: "string",
    enum: ["LARD", "RoundRobin", "LeastConnections", "Hash", "Cost"],
    expects: '"LARD", "RoundRobin", "LeastConnections", "Hash" or "Cost"',
    description: "How a worker is chosen; docs/balancer.md explains each.",
    default: "LARD",
  },
  load_low: {
    type: "number",
    minimum: 0,
    maximum: 1000,
    expects: "a number from 0 to 1000",
    description: "A worker with fewer calls for each of its slots has little to do.",
    default: 1,
  },
  load_high: {
    type: "number",
    minimum: 2,
    maximum: 1000,
    expects: "a number from 2 to 1000 (with less, each call that is moved makes the next overload)",
    description:
      "A worker with as many calls for each of its slots has too much to do, and its functions get another one besides.",
    default: 4,
  },
  max_conn: {
    ...whole(-1, 1_000_000),
    description:
      "The most calls that one worker is sent at once; -1 is no other limit than 2 x `load_high` a slot.",
    default: -1,
  },
  max_conn_per_function: {
    ...whole(-1, 1_000_000),
    description: "The most calls of one function that workers are sent at once; more wait. -1 is no limit.",
    default: -1,
  },
  queue_per_slot: {
    type: "number",
    minimum: 0,
    maximum: 1000,
    expects: "a number from 0 to 1000",
    description:
      "How many calls may wait at the balancer, for each slot of all workers; more are answered with 503.",
    default: 2,
  },
  queue_timeout_ms: {
    ...whole(1, HOUR_MS),
    description: "How long a call may wait there, in ms, before it is answered with 503.",
    default: 10_000,
  },
  retry_idempotent: {
    type: "boolean",
    expects: "true or false",
    description:
      "Whether GET and HEAD are sent to another worker also if they may have begun on the first. A lambda's GET may have effects.",
    default: false,
  },
  url: {
    type: "string",
    format: "listen-address",
    expects: 'a host name or address to listen on, such as "localhost" or "0.0.0.0"',
    description:
      "The address that the balancer listens on. `localhost` is 127.0.0.1 and ::1. With any other address it warns: callers are not authenticated, so whoever reaches the port can run every lambda.",
    default: "localhost",
  },
  port: { ...PORT, description: "The TCP port that it listens on; 0 is any free one.", default: 7079 },
  tls: section(
    "Serves HTTPS instead of HTTP. Both files are read at the start, and again when they change.",
    {
      cert: path("The certificate and those between it and the root, in PEM.", { defaultText: "none: HTTP" }),
      key: path("Its private key, in PEM, without a passphrase.", { defaultText: "none: HTTP" }),
    },
  ),
  workers: {
    type: "array",
    maxItems: MOST_WORKERS,
    items: worker,
    expects: 'a list of URLs, or of objects such as {"id": "w0", "url": "http://10.0.0.7:8080", "slots": 8}',
    description: "Workers that are there from the beginning and are never removed.",
    default: [],
  },
  workers_file: path(
    "A file with a list of workers like that of `workers`, as JSON; it is read again when it changes.",
    { defaultText: "none" },
  ),
  workers_dns: {
    type: "string",
    pattern: WORKER_URL,
    expects: 'a URL such as "http://workers.example:8080"',
    description:
      "A URL whose name has an address for each worker, such as a headless Service of Kubernetes; it is looked up again and again.",
    defaultText: "none",
  },
  token: {
    ...TOKEN,
    description:
      "What workers that register themselves prove that they belong to the cluster by. Without one nobody can register.",
    defaultText: "the cluster's own, where the file is in a cluster",
  },
  trusted_proxies: trustedProxies(
    "a proxy in front",
    "`X-OL-*`, `X-Forwarded-*` and `Forwarded` request fields",
  ),
  limits: section("What clients and workers are held to.", {
    connections: {
      ...whole(1, 1_000_000),
      description: "Connections of clients at once; more are closed.",
      default: 10_000,
    },
    headers_ms: {
      ...whole(100, HOUR_MS),
      description: "How long a client may take to send a request's header, in ms.",
      default: 10_000,
    },
    body_idle_ms: {
      ...whole(100, HOUR_MS),
      description: "How long a request's body may stop coming, in ms.",
      default: 30_000,
    },
    connect_ms: {
      ...whole(10, 60_000),
      description: "How long a connection to a worker may take, in ms, before another worker is asked.",
      default: 1_000,
    },
    idle_ms: {
      ...whole(100, HOUR_MS),
      description: "How long a reply may stop coming, or a client may stop reading it, in ms.",
      default: 60_000,
    },
    drain_ms: {
      ...whole(0, HOUR_MS),
      description: "How long calls may take to end once the balancer is told to stop, in ms.",
      default: 30_000,
    },
    kept_mb: {
      ...whole(0, 65_536),
      description:
        "Memory in MiB for request bodies of up to 64 KiB each, which are read before a worker is asked for; with it used up they are passed on as they come.",
      default: 256,
    },
  }),
  log_output: LOG_OUTPUT,
});

/** The keys that the 2019 fork had, as `MaxConn` is `max_conn`; and all others likewise. */
export const snakeCase = (key: string): string =>
  /^[A-Z]/u.test(key)
    ? key.replaceAll(/[A-Z]/gu, (letter, at: number) => `${at === 0 ? "" : "_"}${letter.toLowerCase()}`)
    : key;
