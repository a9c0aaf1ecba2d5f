export { FakeEngine, type FakeEngineOptions } from "./fake-engine.ts";
export type { FakeCode, FakeContext, FakeFunction } from "./fake-guest.ts";
export { FAKE_HANDLERS } from "./fake-handlers.ts";
export { socketPair } from "./socket-pair.ts";
