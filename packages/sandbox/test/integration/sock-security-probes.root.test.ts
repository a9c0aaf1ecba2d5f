import { describe } from "vitest";

import { describeProbes } from "./security/suite-probes.ts";

describe("what a lambda tries, with a worker run as root", () => {
  describeProbes("root");
});
