import { balancerError } from "../errors.ts";
import type { CallFailure } from "../lease.ts";

/** What a call is answered with that came to no reply, and that no other worker gets. `notStarted`: see Lease.failed. */
export const attemptError = (
  reason: CallFailure,
  notStarted: boolean,
  worker: string,
  cause: unknown,
): Error => {
  const details = { worker };
  if (notStarted)
    return balancerError(
      "OL_BALANCER_CANNOT_CONNECT",
      "the worker for this call does not answer; it was not run",
      {
        cause,
        details,
      },
    );
  if (reason === "timeout")
    return balancerError(
      "OL_BALANCER_TIMEOUT",
      "the worker did not reply in time; the call may have been run",
      {
        cause,
        details,
      },
    );
  return balancerError(
    "OL_BALANCER_WORKER_FAILED",
    "the worker failed before it replied; the call may have been run",
    {
      cause,
      details,
    },
  );
};
