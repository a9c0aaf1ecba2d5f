import { describe, expect, it } from "vitest";

import { TrustedPeers } from "../../src/trusted-peers.ts";

const refuse = (message: string): Error => new Error(message);

describe("trusted peers", () => {
  it("are addresses and networks, also when IPv4 comes over an IPv6 socket", () => {
    const peers = new TrustedPeers(["10.0.0.0/8", "192.168.1.7", "fd00::/8"], refuse);
    for (const address of ["10.1.2.3", "::ffff:10.1.2.3", "192.168.1.7", "fd12::1"])
      expect(peers.has(address)).toBe(true);
    for (const address of ["11.0.0.1", "::1", "127.0.0.1", undefined]) expect(peers.has(address)).toBe(false);
  });

  it("are the same when they come again, among more addresses than are remembered", () => {
    const peers = new TrustedPeers(["10.0.0.0/8"], refuse);
    const addresses = Array.from(
      { length: 1_500 },
      (_, at) => `${at % 2 === 0 ? 10 : 11}.0.${at >> 8}.${at & 255}`,
    );
    for (let round = 0; round < 3; round += 1)
      for (const address of addresses) expect(peers.has(address)).toBe(address.startsWith("10."));
  });

  it("are nobody by default", () => expect(new TrustedPeers([], refuse).has("127.0.0.1")).toBe(false));

  it.each(["localhost", "10.0.0.0/33", "10.0.0.0/x", "", "::1/129"])("cannot be %j", (proxy) => {
    expect(() => new TrustedPeers([proxy], refuse)).toThrow(/trusted_proxies/u);
  });
});
