/** Time as everything that decides sees it: the machine's, or a virtual one in tests and in the simulator. */
export interface Clock {
  /** Milliseconds that only ever grow. */
  nowMs(): number;
  /** Calls back once after `ms`, unless what it returns is called before. It keeps no process alive. */
  after(ms: number, callback: () => void): () => void;
}

/** The machine's own. */
export const machineClock: Clock = {
  nowMs: () => performance.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, Math.max(Math.ceil(ms), 0)).unref();
    return () => clearTimeout(timer);
  },
};
