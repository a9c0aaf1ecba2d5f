/** A step of making a sandbox, and when it was over: in ns of CLOCK_MONOTONIC, on which process.hrtime.bigint() is too. */
export interface StepEnd {
  readonly step: string;
  readonly atNs: bigint;
}

/** The body of a guest's event `steps`: two processes' lists, of which the first entry is a beginning. Both go on at once. */
export interface StepReport {
  /** From the request that reached the broker to its last message to the leaf. */
  readonly broker: readonly StepEnd[];
  /** From the request that reached the zygote to the loaded code. */
  readonly leaf: readonly StepEnd[];
}

const MOST_STEPS = 64;
const STEP = /^[a-z][a-z-]{0,31}$/;

/**
 * Reads the body of an event `steps`. Undefined for whatever a guest should not have said: the runtime writes it, but lambda
 * code could have; good for looking at, and for nothing else.
 */
export const parseSteps = (body: Buffer): StepReport | undefined => {
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { broker, leaf } = value as Readonly<Record<string, unknown>>;
  const [brokers, leafs] = [parseList(broker), parseList(leaf)];
  return brokers === undefined || leafs === undefined ? undefined : { broker: brokers, leaf: leafs };
};

const parseList = (value: unknown): readonly StepEnd[] | undefined => {
  if (!Array.isArray(value) || value.length > MOST_STEPS) return undefined;
  const ends: StepEnd[] = [];
  for (const entry of value as unknown[]) {
    if (!Array.isArray(entry) || entry.length !== 2) return undefined;
    const [step, atNs] = entry as unknown[];
    // Uptime in ns is below 2^53 for a hundred days; beyond that the last digit is not exact, which is no matter.
    if (typeof step !== "string" || !STEP.test(step) || !isTime(atNs)) return undefined;
    ends.push({ step, atNs: BigInt(atNs) });
  }
  return ends;
};

const isTime = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 0;
