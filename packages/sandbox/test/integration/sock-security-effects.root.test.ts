import { describe } from "vitest";

import { describeBombs } from "./security/suite-bombs.ts";
import { describeScratch } from "./security/suite-scratch.ts";
import { describeSiblings } from "./security/suite-siblings.ts";
import { describeTree } from "./security/suite-tree.ts";

describe("what a lambda does to others, with a worker run as root", () => {
  describeSiblings("root");
  describeBombs("root");
  describeScratch("root");
  describeTree("root");
});
