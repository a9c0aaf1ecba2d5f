import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of @ol/worker. `status` is what the worker answers with. */
export const WORKER_ERRORS = {
  OL_WORKER_BAD_OPTIONS: {
    causedBy: "user",
    status: 500,
    about: "An option of the worker has a value that it cannot work with; the message names it.",
  },
  OL_WORKER_PORT_IN_USE: {
    causedBy: "user",
    status: 500,
    about: "Another process listens on the worker's port; choose another worker_port, or stop that process.",
  },
  OL_WORKER_CANNOT_LISTEN: {
    causedBy: "user",
    status: 500,
    about: "The worker's address cannot be listened on; the message names it and the reason.",
  },
  OL_WORKER_BAD_REQUEST: {
    causedBy: "user",
    status: 400,
    about: "The request is not one that a server can answer safely; the message says what is wrong with it.",
  },
  OL_WORKER_NOT_FOUND: {
    causedBy: "user",
    status: 404,
    about: "The worker has nothing at this path; lambdas are at /run/NAME.",
  },
  OL_WORKER_METHOD_NOT_ALLOWED: {
    causedBy: "user",
    status: 405,
    about:
      "The lambda's ol.yaml (triggers.http) does not let this method through; `Allow` lists those it does.",
  },
  OL_WORKER_BAD_APP_REPLY: {
    causedBy: "user",
    status: 500,
    about:
      "A web app's reply contradicts itself: its Content-Length is no number, or not the length of its body.",
  },
  OL_WORKER_BODY_TIMEOUT: {
    causedBy: "user",
    status: 408,
    about: "The request's body did not come within 30 seconds of silence.",
  },
  OL_WORKER_BODY_TOO_LARGE: {
    causedBy: "user",
    status: 413,
    about: "The request's body is larger than the lambda's limits.body_mb.",
  },
  OL_WORKER_HEADERS_TOO_LARGE: {
    causedBy: "user",
    status: 431,
    about: "The request has too many header fields, or too long ones.",
  },
  OL_WORKER_NO_ASYNC: {
    causedBy: "user",
    status: 501,
    about: "`Prefer: respond-async` asks for a reply before the lambda has run; this version cannot do that.",
  },
  OL_WORKER_BODIES_FULL: {
    causedBy: "system",
    status: 503,
    about: "Request bodies that wait already take as much memory as the worker may use for them; call later.",
  },
} as const;

export type WorkerErrorCode = keyof typeof WORKER_ERRORS;
export const workerError: ErrorFactory<typeof WORKER_ERRORS> = errorFactory(WORKER_ERRORS);
