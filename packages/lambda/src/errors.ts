import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of @ol/lambda. `status` is what a worker answers when the error ends a request. */
export const LAMBDA_ERRORS = {
  OL_LAMBDA_UNKNOWN: {
    causedBy: "user",
    status: 404,
    about: "There is no lambda of that name in the registry; upload it, or copy its directory there.",
  },
  OL_LAMBDA_QUEUE_FULL: {
    causedBy: "user",
    status: 429,
    about: "Too many calls of this lambda are waiting already; call again later, or call less often.",
  },
  OL_LAMBDA_WORKER_FULL: {
    causedBy: "system",
    status: 503,
    about: "Too many calls are waiting on this worker, over all lambdas; call another worker, or later.",
  },
  OL_LAMBDA_QUEUE_TIMEOUT: {
    causedBy: "system",
    status: 503,
    about:
      "The call waited for queue_timeout_ms and no sandbox, slot or memory became free; it was not started.",
  },
  OL_LAMBDA_NOT_STARTED: {
    causedBy: "system",
    status: 503,
    about:
      "Two sandboxes in a row ended before a byte of the call was read; the worker's log says why. It was not started.",
  },
  OL_LAMBDA_DRAINING: {
    causedBy: "system",
    status: 503,
    about: "The worker is shutting down and takes no new calls; it was not started.",
  },
  OL_LAMBDA_INSTALLING: {
    causedBy: "system",
    status: 503,
    about:
      "The lambda's packages were still being installed after install_wait_ms; that goes on, and a later call finds them. It was not started.",
  },
  OL_LAMBDA_BAD_PACKAGES: {
    causedBy: "user",
    status: 500,
    about:
      "The packages that the lambda names cannot be installed; the message is the reason that pip or uv gives.",
  },
  OL_LAMBDA_PACKAGES_UNAVAILABLE: {
    causedBy: "system",
    status: 503,
    about:
      "The lambda's packages cannot be installed at the moment: the index does not answer, there is no memory for it, or the worker has neither pip nor uv. The next call tries again.",
  },
  OL_LAMBDA_LOAD_FAILED: {
    causedBy: "system",
    status: 500,
    about: "The lambda's code could not be fetched from the registry; the worker's log has the reason.",
  },
  OL_LAMBDA_BAD_ZYGOTE_TREE: {
    causedBy: "user",
    status: 500,
    about:
      "`import_cache_tree` is no tree of packages; the message names the place in it and what a tree looks like.",
  },
} as const;

export type LambdaErrorCode = keyof typeof LAMBDA_ERRORS;
export const lambdaError: ErrorFactory<typeof LAMBDA_ERRORS> = errorFactory(LAMBDA_ERRORS);
