import type { SandboxPool, SockEngine } from "../../../src/index.ts";

/** Carries out a method of driver.mjs. */
export interface Driver {
  request(method: string, parameters: object): Promise<unknown>;
}

export declare const createDriver: (module: {
  SockEngine: typeof SockEngine;
  SandboxPool: typeof SandboxPool;
}) => Driver;
