import { scaled } from "../../packages/sandbox/test/support/scale.ts";
import { describeAcceptance } from "./support/acceptance.ts";

describeAcceptance("sock", {
  many: [
    [10, 1],
    [scaled(40, 100), 10],
  ],
  loads: [1, 2, 8],
  loadMs: scaled(1_500, 15_000),
  updateMs: 1_000,
});
