import { type ErrorFactory, errorFactory } from "@ol/common";

/** Every error of @ol/balancer. */
export const BALANCER_ERRORS = {
  OL_BALANCER_BAD_OPTION: {
    causedBy: "user",
    status: 500,
    about: "An option of the balancer has a value that cannot be used; the message names it and says why.",
  },
} as const;

export type BalancerErrorCode = keyof typeof BALANCER_ERRORS;
export const balancerError: ErrorFactory<typeof BALANCER_ERRORS> = errorFactory(BALANCER_ERRORS);
