import { LIMIT_KEYS, type LimitKey } from "@ol/common";

import { DOCKER_SCHEMA } from "./docker-schema.ts";
import {
  HOUR_MS,
  type KeySchema,
  LOG_OUTPUT,
  path,
  PORT,
  SECRET_KEY,
  section,
  TOKEN,
  trustedProxies,
  whole,
} from "./schema-parts.ts";

export type { KeySchema };

const limit = (key: LimitKey): KeySchema => ({
  type: key.integer ? "integer" : "number",
  minimum: key.minimum,
  maximum: key.maximum,
  expects: `a ${key.integer ? "whole " : ""}number from ${key.minimum} to ${key.maximum}`,
  description: key.about,
  default: key.default,
});

/** Every key of template.json and worker-N.json. All are optional. */
export const WORKER_SCHEMA: KeySchema = section("Configuration of a worker.", {
  worker_dir: path("Where the worker keeps its sandboxes' scratch directories, sockets and code copies.", {
    defaultText: "`workers/worker-N` in the cluster directory",
  }),
  worker_url: {
    type: "string",
    format: "listen-address",
    expects: 'a host name or address to listen on, such as "localhost" or "0.0.0.0"',
    description:
      "The address that the worker listens on. `localhost` is 127.0.0.1 and ::1. With any other address the worker warns: its callers are not authenticated, so whoever reaches the port can run every lambda.",
    default: "localhost",
  },
  worker_port: {
    ...PORT,
    description: "The TCP port that the worker listens on; 0 is any free one.",
    default: 8080,
  },
  worker_user: {
    type: "string",
    pattern: "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$",
    expects: "a user's name or number",
    description:
      "Whom a worker started by root becomes once its sandbox engine runs: a name or a number, with that user's primary group and no other. The engine keeps root. Has no meaning for a worker that is not started by root.",
    defaultText: "the owner of the cluster directory",
  },
  worker_slots: {
    ...whole(1, 10_000),
    description: "How many calls run at once; more wait in queues.",
    defaultText: "4 x CPUs",
  },
  queue_timeout_ms: {
    ...whole(1, HOUR_MS),
    description: "How long a call waits for a slot and for memory, in ms, before it is answered with 503.",
    default: 10_000,
  },
  pause_linger_ms: {
    ...whole(0, HOUR_MS),
    description:
      "After this time without a call, in ms, a sandbox is paused: its processes are stopped until the next call, which takes about a millisecond longer. 0 is never.",
    default: 1000,
  },
  cluster_name: {
    type: "string",
    pattern: "^[A-Za-z0-9._-]{1,64}$",
    expects: "1 to 64 letters, digits, '.', '_' or '-'",
    description: "The cluster's name in log lines.",
    defaultText: "the name of the cluster directory",
  },
  sandbox: {
    type: "string",
    enum: ["sock", "docker"],
    expects: '"sock" or "docker"',
    description:
      "The sandbox engine. `sock` forks sandboxes from a zygote process, isolated by namespaces, cgroups and seccomp. `docker` has each be a container of Docker or Podman, which takes far longer to make; see docs/docker.md.",
    default: "sock",
  },
  docker: DOCKER_SCHEMA,
  sock_base_path: path(
    "The root file system that sandboxes see, read-only, instead of this machine's own `/usr`: a directory that `debootstrap`, `docker export` or the like has filled, with a Python 3.9 or newer in it, on which lambdas run.",
    { defaultText: "`base` in the cluster directory if there is anything in it, else this machine's own" },
  ),
  network: {
    type: "string",
    enum: ["host", "outbound", "none"],
    expects: '"host", "outbound" or "none"',
    description:
      "The network of a lambda whose ol.yaml does not say: `host` is the machine's own, `outbound` the same without a way to the machine itself (needs root and nftables), `none` a namespace with nothing but a loopback interface. `ol-admin new` writes `host` out, so that it can be seen.",
    default: "host",
  },
  registry: {
    type: "string",
    maxLength: 4096,
    format: "registry",
    expects:
      '"local", "remote", or a URL such as "http://localhost:9000/BUCKET", "s3://BUCKET" or "file:///DIRECTORY"',
    description:
      "Where the lambdas' code comes from. `local`: the directory `registry_dir`. `remote`: the S3 store at `registry_server`. `http(s)://HOST:PORT/BUCKET`: the same in one. `s3://BUCKET`: that bucket of `registry_server`, or of AWS if there is none. `file:///DIRECTORY`: that directory.",
    default: "local",
  },
  registry_server: {
    type: "string",
    maxLength: 4096,
    format: "server",
    expects: 'HOST:PORT, or an http:// or https:// URL without a path, such as "localhost:9000"',
    description: "The S3 store of `registry` `remote`; without a scheme it is asked by HTTP.",
    defaultText: "none; of `s3://BUCKET` AWS",
  },
  registry_bucket: {
    type: "string",
    pattern: "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    expects: "3 to 63 lower-case letters, digits, '.' and '-'",
    description: "The bucket in the store that holds the code.",
    default: "registry",
  },
  registry_region: {
    type: "string",
    pattern: "^[A-Za-z0-9-]{1,64}$",
    expects: 'a region such as "eu-central-1"',
    description: "The region that requests to the store are signed for. Most stores but AWS take any.",
    default: "us-east-1",
  },
  registry_access_key: {
    type: "string",
    pattern: "^[\\u0021-\\u007e]{3,256}$",
    expects: "3 to 256 characters without blanks",
    description: "Of the keys with which workers read from the store; they need not be able to write.",
    defaultText: "none",
  },
  registry_secret_key: {
    ...SECRET_KEY,
    description: "The secret of `registry_access_key`. It is never shown.",
    defaultText: "none",
  },
  registry_ca: path(
    "A file with certificates in PEM that are trusted, besides the system's, for an https:// store.",
    {
      defaultText: "none",
    },
  ),
  signatures: {
    type: "string",
    enum: ["off", "warn", "enforce"],
    expects: '"off", "warn" or "enforce"',
    description:
      "What happens to bundles from a store that no key in `trusted_keys` signed. `off`: nobody looks. `warn`: they run, and the log names them. `enforce`: they are not run. Has no meaning for `registry` `local`.",
    default: "off",
  },
  trusted_keys: {
    type: "array",
    maxItems: 100,
    items: {
      type: "string",
      minLength: 1,
      maxLength: 4096,
      pattern: "^[^\\u0000]*$",
      expects: "a path",
      description: "One file.",
    },
    expects: "a list of paths",
    description:
      "Files with ed25519 public keys in PEM (`openssl pkey -pubout`), one or several in each. Relative paths begin where those of other keys do.",
    default: [],
  },
  bundle_limits: section("What a packed bundle, NAME.tar.gz, may be; what is larger is not run.", {
    packed_mb: { ...whole(1, 10_240), description: "MiB, as it comes.", default: 100 },
    unpacked_mb: { ...whole(1, 102_400), description: "MiB of all its files.", default: 250 },
    files: { ...whole(1, 1_000_000), description: "Files and directories.", default: 10_000 },
  }),
  registry_dir: path(
    "The directory of the local registry; NAME/f.py in it is the lambda NAME, and so is what a NAME.tar.gz holds.",
    {
      defaultText: "`registry` in the cluster directory",
    },
  ),
  registry_cache_ms: {
    ...whole(0, 24 * HOUR_MS),
    description: "For how long, in ms, a lambda's code is used before the worker looks whether it changed.",
    default: 5000,
  },
  mem_pool_mb: {
    ...whole(16, 64 * 1024 * 1024),
    description:
      "Memory in MiB that all sandboxes of the worker share. The limits of the running ones together never exceed it; a call for which there is no room waits.",
    defaultText: "(memory of the machine - 1 GiB, at least half of it) / workers of the cluster",
  },
  eviction: {
    type: "string",
    enum: ["default", "lru", "priority", "greedyDual"],
    expects: '"default", "lru", "priority" or "greedyDual"',
    description:
      "Which sandboxes go first when `mem_pool_mb` is used up; those with a call never do. `default`: paused ones, then idle ones, then zygotes, each by their last use. `lru`: by the last use alone. `priority`: paused ones, then zygotes, then idle ones. `greedyDual`: what is quick to make again, large, or seldom called; better than the others where some lambdas import for long and others do not.",
    default: "default",
  },
  limits: section(
    "What one sandbox, or one call, may use when the lambda's ol.yaml does not say.",
    Object.fromEntries(LIMIT_KEYS.map((key) => [key.key, limit(key)])),
  ),
  pkgs_dir: path(
    "Where packages from the index are installed, once for all workers of the cluster; every sandbox sees it, read-only, as /packages.",
    { defaultText: "`packages` in the cluster directory" },
  ),
  pip_mirror: {
    type: "string",
    pattern: "^https?://[^\\s]+$",
    expects: "an http:// or https:// URL",
    description:
      "The index that packages come from, with a user and password in it if it wants some; no lambda ever sees them. Also what pip and uv find in their own configuration files and in PIP_ and UV_ variables of the worker's environment is honoured.",
    defaultText: "what pip and uv go by",
  },
  package_tool: {
    type: "string",
    enum: ["auto", "uv", "pip"],
    expects: '"auto", "uv" or "pip"',
    description: "What installs packages. `auto`: uv where it is to be had, else pip.",
    default: "auto",
  },
  install_wait_ms: {
    ...whole(0, HOUR_MS),
    description:
      "How long a call waits, in ms, while its lambda's packages are being installed, before it is answered with 503; the installation goes on.",
    default: 30_000,
  },
  installer_limits: section("What one sandbox that installs packages may use.", {
    procs: { ...whole(16, 32_768), description: "Processes and threads.", default: 256 },
    mem_mb: { ...whole(64, 1_048_576), description: "Memory in MiB.", default: 1024 },
    runtime_sec: { ...whole(1, 86_400), description: "Seconds.", default: 300 },
    scratch_mb: {
      ...whole(16, 1_048_576),
      description: "MiB on disk: what is downloaded, and what is unpacked of it.",
      default: 8192,
    },
  }),
  source_packages: {
    type: "boolean",
    expects: "true or false",
    description:
      "Whether packages for which there is no wheel are built from source, which runs their code: in a sandbox with nothing but the network and its output.",
    default: false,
  },
  import_cache: {
    type: "string",
    enum: ["off", "tree", "auto"],
    expects: '"off", "tree" or "auto"',
    description:
      "Zygotes with imported packages, from which sandboxes are forked. `auto`: a tree of them grows by what is called. `tree`: those of `import_cache_tree`. `off`: every sandbox is forked from a plain interpreter.",
    default: "auto",
  },
  import_cache_tree: {
    type: ["string", "object"],
    expects: 'a path, or a tree such as {"packages": [], "children": []}',
    description:
      'With `import_cache` `tree`: the zygotes, as `{"packages": ["numpy"], "children": [...]}` or the path of a file with that. The file is read again when it changes.',
    defaultText: "no zygotes but the plain one",
  },
  startup_pkgs: {
    type: "array",
    maxItems: 1000,
    items: {
      type: "string",
      minLength: 1,
      maxLength: 1000,
      expects: 'a requirement such as "numpy" or "numpy==2.1.*"',
      description: "One requirement.",
    },
    expects: 'a list of requirements such as ["numpy", "pandas==2.*"]',
    description: "Packages that are installed when the worker starts, before any lambda asks for them.",
    default: [],
  },
  trace: {
    type: "string",
    maxLength: 4096,
    pattern: "^[^\\u0000]*$",
    expects: '"" or a path',
    description:
      'A file to which a line of JSON is written for each invocation: function, packages, phases, zygote, sandbox; `""` is none.',
    default: "",
  },
  features: section("Switches.", {
    downsize_paused_mem: {
      type: "boolean",
      expects: "true or false",
      description:
        "Promise a paused sandbox only the memory that it holds, so that others can have the rest until it is called again. The call waits then if the memory is in use.",
      default: true,
    },
    enable_seccomp: {
      type: "boolean",
      expects: "true or false",
      description:
        "Filter the system calls of sandboxes. Without the filter a lambda can get out of its sandbox: `false` is only for tests that show this, and the worker warns at every start.",
      default: true,
    },
  }),
  storage: section("Where sandboxes keep what they write.", {
    scratch: {
      type: "string",
      enum: ["", "memory"],
      expects: '"" or "memory"',
      description:
        'What a sandbox\'s /host is: `""` is a directory below `worker_dir`, measured once a second; `"memory"` a file system in memory that holds exactly `limits.scratch_mb`, and counts to `limits.mem_mb`.',
      default: "",
    },
  }),
  load_balancer: {
    type: "array",
    maxItems: 100,
    items: {
      type: "string",
      pattern: "^https?://[^\\s/?#@]+/?$",
      expects: 'a URL such as "http://10.0.0.1:7079"',
      description: "One load balancer.",
    },
    expects: 'a list of URLs such as ["http://10.0.0.1:7079"]',
    description:
      "Load balancers that the worker registers itself with, every 3 seconds and signed with `token`, until it stops.",
    default: [],
  },
  advertise_url: {
    type: "string",
    pattern: "^https?://[^\\s/?#@]+/?$",
    expects: 'a URL such as "http://10.0.0.7:8080"',
    description: "Where those load balancers find this worker.",
    defaultText: "http:// with `worker_url` and the port, unless `worker_url` is every address",
  },
  token: {
    ...TOKEN,
    description:
      "What load balancers and workers of a cluster know each other by. It is never sent: messages are signed with it.",
    defaultText: "the one in the cluster's cluster.json",
  },
  trusted_proxies: trustedProxies(
    "HAProxy",
    "`X-OL-*` request headers",
    " Load balancers that prove with each request that they know `token` are believed wherever they are.",
  ),
  log_output: LOG_OUTPUT,
});
