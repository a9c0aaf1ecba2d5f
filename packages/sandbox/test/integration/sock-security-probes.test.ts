import { describe } from "vitest";

import { describeProbes } from "./security/suite-probes.ts";

// Run as root, the engine runs in a child process as a user that is in no /etc/passwd.
describe("what a lambda tries, with a worker run as an ordinary user", () => {
  describeProbes("rootless");
});
