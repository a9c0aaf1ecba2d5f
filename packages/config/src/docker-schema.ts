import { type KeySchema, path, section, whole } from "./schema-parts.ts";

const TEXT = { type: "string", minLength: 1, maxLength: 4096, pattern: "^[^\\u0000]*$" } as const;

/** Keys of the engine `docker`, in template.json and worker-N.json. */
export const DOCKER_SCHEMA: KeySchema = section("Of `sandbox` `docker` only.", {
  host: {
    ...TEXT,
    expects: 'where a daemon listens, such as "unix:///var/run/docker.sock"',
    description:
      "Where the daemon is: a unix socket, or `tcp://HOST:PORT` of one on this machine, since it is given directories.",
    defaultText:
      "`DOCKER_HOST` of the worker's environment, else the first of Docker's and Podman's usual sockets that answers",
  },
  cert_path: path(
    "A directory with `ca.pem`, `cert.pem` and `key.pem`: a `tcp://` daemon is spoken to by TLS.",
    { defaultText: "`DOCKER_CERT_PATH` if `DOCKER_TLS_VERIFY` is set and `DOCKER_HOST` names the daemon" },
  ),
  base_image: {
    ...TEXT,
    expects: 'the name of an image, such as "python:3.12-slim"',
    description:
      "The image that sandboxes are made from, with a Python 3.9 or newer in it; pulled if the daemon does not have it.",
    defaultText:
      "one made of `sock_base_path`, or of `base` in the cluster directory if there is anything in it; else one that is built",
  },
  python: {
    ...TEXT,
    expects: 'a program of the image, such as "python3"',
    description: "The Python in the image that lambdas run on.",
    default: "python3",
  },
  runtime: {
    ...TEXT,
    expects: 'a runtime that the daemon knows, such as "runsc"',
    description: "The OCI runtime of the sandboxes, such as `crun` or gVisor's `runsc`.",
    defaultText: "the daemon's own",
  },
  network: {
    ...TEXT,
    expects: '"host", "bridge" or the name of a network of the daemon\'s',
    description:
      "What a lambda of network `host` gets. `host` is the machine's own, as with `sock`; `bridge` one of the daemon's that leads out by address translation.",
    default: "host",
  },
  prepared: {
    ...whole(0, 100),
    description:
      "How many containers are started in advance for lambdas with the limits and network of those called last. What each holds, an interpreter, comes on top of `mem_pool_mb`.",
    default: 2,
  },
  share: {
    type: "string",
    enum: ["off", "lambda"],
    expects: '"off" or "lambda"',
    description:
      "Whether the sandboxes of one lambda, of the same code and settings, are processes in one container, which makes each but the first as quick as a fork. They share its `/tmp`, `/host` and limits then; see docs/docker.md.",
    default: "off",
  },
});
