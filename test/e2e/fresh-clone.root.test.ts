import { expect, it } from "vitest";

import { followTheReadme, ordinaryUser } from "./support/newcomer.ts";

it("README.md from a fresh clone works for an ordinary user, word for word", async () => {
  const { script, byHand } = followTheReadme(await ordinaryUser());
  expect(script).toMatch(/"Hello, Alice!"[^]*exit 0$/);
  expect(byHand).toMatch(/http:\/\/localhost:8080\/status => ready \[200 OK\][^]*"Hello, Alice!"[^]*exit 0$/);
});
