import { describe } from "vitest";

import { describeBombs } from "./security/suite-bombs.ts";
import { describeScratch } from "./security/suite-scratch.ts";
import { describeSiblings } from "./security/suite-siblings.ts";
import { describeTree } from "./security/suite-tree.ts";

// Run as root, the engine runs in a child process as a user that is in no /etc/passwd.
describe("what a lambda does to others, with a worker run as an ordinary user", () => {
  describeSiblings("rootless");
  describeBombs("rootless");
  describeScratch("rootless");
  describeTree("rootless");
});
