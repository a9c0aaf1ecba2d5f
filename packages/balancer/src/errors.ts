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
} as const;

export type BalancerErrorCode = keyof typeof BALANCER_ERRORS;
export const balancerError: ErrorFactory<typeof BALANCER_ERRORS> = errorFactory(BALANCER_ERRORS);
