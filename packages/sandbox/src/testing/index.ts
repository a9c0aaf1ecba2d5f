export {
  CONFORMANCE_CASES,
  CONFORMANCE_HANDLERS_DIR,
  CONFORMANCE_HTTP_CASES,
  CONFORMANCE_PACKAGES_DIR,
  CONFORMANCE_ZYGOTE_CASES,
  type ConformanceCase,
  type ConformanceOptions,
  type TestFunctions,
  describeEngineConformance,
  runConformanceCase,
} from "./conformance.ts";
export { FakeEngine, type FakeEngineOptions } from "./fake-engine.ts";
export type { FakeReply, FakeRequest } from "./fake-call.ts";
export {
  type FakeApp,
  FakeBadOutput,
  type FakeCode,
  type FakeContext,
  type FakeFunction,
} from "./fake-guest.ts";
export { FAKE_HANDLERS } from "./fake-handlers.ts";
export { socketPair } from "./socket-pair.ts";
