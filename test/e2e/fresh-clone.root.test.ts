import { expect, it } from "vitest";

import { followTheReadme, ordinaryUser } from "./support/newcomer.ts";

it(
  "README.md from a fresh clone works for an ordinary user, word for word",
  { timeout: 480_000 },
  async () => {
    const { script, example, byHand } = followTheReadme(await ordinaryUser());
    expect(script).toMatch(/"Hello, Alice!"[^]*exit 0$/);
    expect(example).toMatch(/^requests +\d+ ms +\d+ ms$[^]*Stopping everything[^]*exit 0$/mu);
    expect(byHand).toMatch(
      /http:\/\/localhost:8080\/status => ready \[200 OK\][^]*"Hello, Alice!"[^]*exit 0$/,
    );
  },
);
