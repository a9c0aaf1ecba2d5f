/** Header names of the worker's and balancer's HTTP, lower case as node:http compares them. */
export const HEADER = {
  invocationId: "x-ol-invocation-id",
  load: "x-ol-load",
  warm: "x-ol-warm",
  notStarted: "x-ol-not-started",
  deadlineMs: "x-ol-deadline-ms",
} as const;

/** Every header of ours begins with this; a client's are removed unless it is a trusted proxy. */
export const HEADER_PREFIX = "x-ol-";

/** The load a worker reports with every reply. */
export interface LoadReport {
  /** Calls it runs at once. */
  readonly slots: number;
  /** Calls running now. */
  readonly busy: number;
  /** Calls waiting now. */
  readonly queue: number;
  /** Share of the sandbox memory that is promised, 0 to 1. */
  readonly memory: number;
  /** True while the worker takes no new calls. */
  readonly draining: boolean;
}

/** toFixed takes longer than all the rest. */
const SHARES: readonly string[] = Array.from({ length: 101 }, (_, percent) => (percent / 100).toFixed(2));

const shareText = (share: number): string => SHARES[Math.round(share * 100)] ?? share.toFixed(2);

/** `X-OL-Load: v=1;slots=8;busy=3;queue=0;mem=0.41;drain=0` */
export const formatLoad = (load: LoadReport): string =>
  `v=1;slots=${load.slots};busy=${load.busy};queue=${load.queue};mem=${shareText(load.memory)};drain=${load.draining ? 1 : 0}`;

/** As it is written above, which takes a third of the time to read. */
const USUAL_LOAD =
  /^v=1;slots=([0-9]{1,6});busy=([0-9]{1,6});queue=([0-9]{1,6});mem=([0-9]{1,3}\.[0-9]{2});drain=([01])$/u;

/** Reads a load report; unknown fields are ignored, anything malformed or of another version is undefined. */
export const parseLoad = (text: string): LoadReport | undefined => {
  const usual = USUAL_LOAD.exec(text);
  if (usual === null) return parseUnusualLoad(text);
  const [, slots, busy, queue, memory, drain] = usual;
  return {
    slots: Number(slots),
    busy: Number(busy),
    queue: Number(queue),
    memory: Number(memory),
    draining: drain === "1",
  };
};

const parseUnusualLoad = (text: string): LoadReport | undefined => {
  const fields = new Map<string, number>();
  for (const part of text.split(";")) {
    const at = part.indexOf("=");
    if (at > 0) fields.set(part.slice(0, at).trim(), Number(part.slice(at + 1)));
  }
  const [slots, busy, queue, memory, drain] = ["slots", "busy", "queue", "mem", "drain"].map((k) =>
    fields.get(k),
  );
  const numbers = [slots, busy, queue, memory, drain];
  if (fields.get("v") !== 1 || !numbers.every((n) => n !== undefined && Number.isFinite(n) && n >= 0))
    return undefined;
  return {
    slots: slots as number,
    busy: busy as number,
    queue: queue as number,
    memory: memory as number,
    draining: drain === 1,
  };
};

/** X-OL-Deadline-Ms: how long the caller still waits, in ms. Undefined for what is no whole number of them. */
export const parseDeadline = (value: string | readonly string[] | undefined): number | undefined =>
  typeof value === "string" && /^[0-9]{1,9}$/u.test(value) ? Number(value) : undefined;
