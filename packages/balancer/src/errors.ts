import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of @ol/balancer. `status` is what the balancer answers with. */
export const BALANCER_ERRORS = {
  OL_BALANCER_BAD_OPTION: {
    causedBy: "user",
    status: 500,
    about: "An option of the balancer has a value that cannot be used; the message names it and says why.",
  },
  OL_BALANCER_FUNCTION_BUSY: {
    causedBy: "user",
    status: 429,
    about: "As many calls of this function run or wait as one function may have; call later.",
  },
  OL_BALANCER_QUEUE_FULL: {
    causedBy: "system",
    status: 503,
    about: "As many calls wait at the balancer as may wait there; call later.",
  },
  OL_BALANCER_QUEUE_TIMEOUT: {
    causedBy: "system",
    status: 503,
    about: "No worker had room for the call in time, or would not have had before its caller's deadline.",
  },
  OL_BALANCER_NO_WORKER: {
    causedBy: "system",
    status: 503,
    about: "The balancer knows no worker that could take a call: there is none, or none of them answers.",
  },
  OL_BALANCER_DRAINING: {
    causedBy: "system",
    status: 503,
    about: "The balancer is shutting down; it takes no new calls.",
  },
  OL_BALANCER_PORT_IN_USE: {
    causedBy: "user",
    status: 500,
    about: "Something else listens on the balancer's port.",
  },
  OL_BALANCER_CANNOT_LISTEN: {
    causedBy: "user",
    status: 500,
    about: "The balancer cannot listen on its address; the message has the kernel's reason.",
  },
  OL_BALANCER_BAD_REQUEST: {
    causedBy: "user",
    status: 400,
    about: "The request cannot be passed on as it is; the message says what is wrong with it.",
  },
  OL_BALANCER_HEADERS_TOO_LARGE: {
    causedBy: "user",
    status: 431,
    about: "The request has more header fields than the balancer takes.",
  },
  OL_BALANCER_BODY_TIMEOUT: {
    causedBy: "user",
    status: 408,
    about: "The request's body stopped coming before it was complete.",
  },
  OL_BALANCER_NO_ENCODING: {
    causedBy: "user",
    status: 501,
    about: "The request has a transfer coding other than chunked, which would be lost on the way.",
  },
  OL_BALANCER_NO_UPGRADE: {
    causedBy: "user",
    status: 501,
    about: "The request asks for a WebSocket, which workers do not serve.",
  },
  OL_BALANCER_CANNOT_CONNECT: {
    causedBy: "system",
    status: 503,
    about: "The worker for the call cannot be reached, nor may another one have it. The call was not run.",
  },
  OL_BALANCER_WORKER_FAILED: {
    causedBy: "system",
    status: 502,
    about:
      "A worker was sent the call and did not reply, or with what is no HTTP. The call may have been run; the balancer does not repeat it.",
  },
  OL_BALANCER_TIMEOUT: {
    causedBy: "system",
    status: 504,
    about:
      "A worker did not reply within the function's time limit and what its queue may take. The call may have been run.",
  },
} as const;

export type BalancerErrorCode = keyof typeof BALANCER_ERRORS;
export const balancerError: ErrorFactory<typeof BALANCER_ERRORS> = errorFactory(BALANCER_ERRORS);
