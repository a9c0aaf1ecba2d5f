import { afterAll, beforeAll, describe } from "vitest";

import { TestNetwork } from "../support/network.ts";
import { describeProbes } from "./security/suite-probes.ts";

describe("what a lambda tries with network outbound, which takes a worker run as root", () => {
  let network: TestNetwork;

  beforeAll(async () => {
    network = await TestNetwork.open();
  });

  afterAll(() => network[Symbol.asyncDispose]());

  describeProbes("root", ["outbound"], () => network.machine.prefix);
});
