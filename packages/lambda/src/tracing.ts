import type { Instance } from "./instance.ts";
import type { PendingCall } from "./pending-call.ts";
import type { TraceRecord } from "./trace.ts";
import { policySet } from "./zygotes/policy-set.ts";
import type { ZygoteKeeper } from "./zygotes/zygote-keeper.ts";

/** What is recorded of a call that a sandbox had; undefined for one that none had. */
export const traceOf = (
  lambda: string,
  { version, sandbox }: Instance,
  call: PendingCall,
  zygotes: ZygoteKeeper | undefined,
): TraceRecord | undefined => {
  const phases = call.phases();
  if (phases === undefined || sandbox === undefined) return undefined;
  const { queueMs, memoryMs, forkMs, importMs, runMs } = phases;
  const origin = zygotes?.originOf(sandbox);
  return {
    invocationId: call.invocationId,
    function: lambda,
    set: policySet(version.packages),
    atMs: Date.now() - (performance.now() - call.sinceMs),
    queueMs,
    runMs,
    sandbox: sandbox.id,
    ...(call.cold !== undefined && {
      cold: { memoryMs, forkMs, importMs, node: origin?.node, costs: origin?.costs },
    }),
  };
};
