import { type LoadReport, formatLoad } from "@ol/common";

import type { CallView, Cluster, FunctionFacts, WorkerView } from "../../src/policies/policy.ts";
import { hash32 } from "../../src/rendezvous.ts";

/** A worker as a policy sees it, with everything to be set. */
export interface TestWorker extends WorkerView {
  load: number;
  slots: number;
  hasRoom: boolean;
  readonly warm: Set<string>;
  readonly zygotes: Set<string>;
}

export const testWorker = (id: string, slots = 4): TestWorker => {
  const warm = new Set<string>();
  const zygotes = new Set<string>();
  return {
    id,
    seed: hash32(id),
    weight: slots,
    slots,
    load: 0,
    hasRoom: true,
    warm,
    zygotes,
    isWarm: (name) => warm.has(name),
    hasZygote: (key) => zygotes.has(key),
  };
};

export const testWorkers = (count: number, slots = 4): TestWorker[] =>
  Array.from({ length: count }, (_, at) => testWorker(`w${at}`, slots));

export const cluster = (workers: readonly WorkerView[], nowMs = 0): Cluster => ({
  workers,
  thresholds: { low: 1, high: 4 },
  nowMs,
});

export const callTo = (name: string, more: Partial<CallView> = {}): CallView => ({
  name,
  key: name,
  facts: undefined,
  tried: new Set(),
  ...more,
});

export const facts = (more: Partial<FunctionFacts> = {}): FunctionFacts => ({
  key: undefined,
  limitMs: 30_000,
  runMs: undefined,
  startMs: undefined,
  ...more,
});

export const loadOf = (more: Partial<LoadReport> = {}): LoadReport => ({
  slots: 4,
  busy: 0,
  queue: 0,
  memory: 0,
  draining: false,
  ...more,
});

export const loadText = (more: Partial<LoadReport> = {}): string => formatLoad(loadOf(more));
