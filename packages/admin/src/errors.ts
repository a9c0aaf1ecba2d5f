import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of ol-admin. */
export const ADMIN_ERRORS = {
  OL_ADMIN_USAGE: {
    causedBy: "user",
    status: 400,
    about:
      "The command line is wrong: an unknown command or option, or a value of the wrong kind. Exit code 2.",
  },
  OL_ADMIN_NO_CLUSTER: {
    causedBy: "user",
    status: 404,
    about:
      "No cluster was named and none was found, or what was named is no cluster directory (config/template.json is missing). Exit code 2.",
  },
  OL_ADMIN_CLUSTER_EXISTS: {
    causedBy: "user",
    status: 409,
    about: "`new` was given a path that exists, or whose parent directory does not.",
  },
  OL_ADMIN_BASE: {
    causedBy: "user",
    status: 400,
    about:
      "The base that `new` was told cannot be used or made; the message says why: there is no such directory or nothing in it, mmdebstrap is missing or failed, no Docker daemon answers, the image is not there or for another machine, the archive is damaged or hostile, the disk is full.",
  },
  OL_ADMIN_BUSY: {
    causedBy: "user",
    status: 409,
    about: "Another ol-admin changes the same cluster and did not finish in time.",
  },
  OL_ADMIN_PORT_IN_USE: {
    causedBy: "user",
    status: 409,
    about:
      "A process listens on the port that a worker, the registry or the load balancer was to have; the message names it. Take another with --port.",
  },
  OL_ADMIN_WORKER_FAILED: {
    causedBy: "system",
    status: 500,
    about: "A worker did not get ready; the message is its own last word.",
  },
  OL_ADMIN_NOT_STOPPED: {
    causedBy: "system",
    status: 500,
    about: "A process of the cluster could not be stopped, for example because another user started it.",
  },
  OL_ADMIN_NO_WORKER: {
    causedBy: "user",
    status: 503,
    about: "No worker of the cluster answers; start one with `ol-admin workers`.",
  },
  OL_ADMIN_NO_LAMBDA: {
    causedBy: "user",
    status: 404,
    about: "The cluster's registry has no lambda of this name.",
  },
  OL_ADMIN_CALL_FAILED: {
    causedBy: "user",
    status: 502,
    about: "The lambda was called and the worker answered with an error, which the message shows.",
  },
  OL_ADMIN_BAD_APP: {
    causedBy: "user",
    status: 400,
    about:
      "What `app` was given is no application, or clashes with something in the cluster; the message says what is wrong. An application is a directory with handlers/NAME, and perhaps setup.sh and static.",
  },
  OL_ADMIN_SETUP_FAILED: {
    causedBy: "user",
    status: 500,
    about:
      "An application's setup.sh failed or did not end in time; the message is its last word, the whole output is in logs/app-NAME.out. What it had started is ended again.",
  },
  OL_ADMIN_BUNDLE: {
    causedBy: "user",
    status: 400,
    about:
      "The code that was to be uploaded could not be had from its git repository; the message has git's reason.",
  },
  OL_ADMIN_REGISTRY: {
    causedBy: "user",
    status: 400,
    about:
      "What was asked needs another kind of registry than the cluster has, or keys that are not there; the message says which.",
  },
  OL_ADMIN_EXISTS: {
    causedBy: "user",
    status: 409,
    about: "`upload --create-only` was given a name that the registry has already.",
  },
  OL_ADMIN_REGISTRY_FAILED: {
    causedBy: "system",
    status: 500,
    about: "The registry did not get ready; the message is its own last word.",
  },
  OL_ADMIN_BALANCER_FAILED: {
    causedBy: "system",
    status: 500,
    about: "The load balancer did not get ready; the message is its own last word.",
  },
  OL_ADMIN_HOST_WORK: {
    causedBy: "system",
    status: 500,
    about: "`ol-worker doctor`, `base`, `sweep` or `packages` failed; the message is its own.",
  },
  OL_ADMIN_PACKAGES: {
    causedBy: "user",
    status: 500,
    about:
      "Packages could not be installed; the message is the reason that pip or uv gives, or names what is wrong with the line.",
  },
  OL_ADMIN_FILE: {
    causedBy: "system",
    status: 500,
    about: "A file or directory could not be read or written; the message names it and the kernel's reason.",
  },
  OL_ADMIN_EMPTY_TRACE: {
    causedBy: "user",
    status: 400,
    about:
      "`zygotes fit` found no start of a sandbox with packages in the trace, so there is nothing to fit a tree to.",
  },
} as const;

export type AdminErrorCode = keyof typeof ADMIN_ERRORS;
export const adminError: ErrorFactory<typeof ADMIN_ERRORS> = errorFactory(ADMIN_ERRORS);

/** The kernel's error code, such as ENOENT; undefined for anything that is not a system error. */
export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
