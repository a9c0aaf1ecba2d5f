import { describe, expect, it } from "vitest";

import { proofOf, ProxyProof, ProxyProofs, signRequest } from "../../src/index.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";
const AT = 1_700_000_000_000;

const clock = (): { nowMs: () => number; pass: (ms: number) => void } => {
  let ms = AT;
  return { nowMs: () => ms, pass: (by) => void (ms += by) };
};

describe("a load balancer's proof", () => {
  it("names the balancer to who knows the token, and to nobody else", () => {
    const { nowMs } = clock();
    const [one, other] = [new ProxyProof(TOKEN, nowMs), new ProxyProof(TOKEN, nowMs)];
    const proofs = new ProxyProofs({ token: TOKEN, nowMs });
    expect(proofs.idIn(one.text())).toBe(one.id);
    expect(proofs.idIn(other.text())).toBe(other.id);
    expect(one.id).not.toBe(other.id);
    expect(new ProxyProofs({ token: `${TOKEN}.`, nowMs }).idIn(one.text())).toBeUndefined();
    expect(one.text()).not.toContain(TOKEN);
  });

  it("is good for 30 s by either clock, and made anew every 10 s", () => {
    const [theirs, ours] = [clock(), clock()];
    const proof = new ProxyProof(TOKEN, theirs.nowMs);
    const untimely: [string, number][] = [];
    const proofs = new ProxyProofs({
      token: TOKEN,
      nowMs: ours.nowMs,
      untimely: (id, byMs) => untimely.push([id, byMs]),
    });
    const first = proof.text();
    theirs.pass(9_999);
    expect(proof.text()).toBe(first);
    theirs.pass(1);
    const second = proof.text();
    expect(second).not.toBe(first);
    ours.pass(-20_000);
    expect(proofs.idIn(second)).toBe(proof.id);
    ours.pass(-1);
    expect(proofs.idIn(second)).toBeUndefined();
    ours.pass(50_001);
    // Also of one that was found to be right before.
    expect([proofs.idIn(first), proofs.idIn(second)]).toEqual([proof.id, proof.id]);
    ours.pass(1);
    expect([proofs.idIn(first), proofs.idIn(second)]).toEqual([undefined, proof.id]);
    expect(untimely).toEqual([[proof.id, -30_001]]);
    // A clock that is set back must not keep it at one from the future.
    theirs.pass(-3_600_000);
    expect(proof.text()).not.toBe(second);
  });

  it("cannot be made from another one, nor from what else is signed with the token", () => {
    const { nowMs } = clock();
    const proof = new ProxyProof(TOKEN, nowMs);
    const proofs = new ProxyProofs({ token: TOKEN, nowMs });
    const [id = "", time = "", mac = ""] = proof.text().split(".");
    const signature = signRequest(TOKEN, { method: "PUT", path: "/", body: "", timeMs: AT });
    const wrong = [
      "",
      mac,
      `${id}.${Number(time) + 1}.${mac}`,
      `${id.replace(/./u, (digit) => (digit === "0" ? "1" : "0"))}.${time}.${mac}`,
      `${id}.${time}.${mac.replace(/.$/u, (digit) => (digit === "0" ? "1" : "0"))}`,
      `${id}.${time}.${mac.slice(1)}`,
      `${id}.${time}.${signature}`,
      `${id}.${time}.${proofOf(TOKEN, id, time)}`,
      // What node:http makes of two fields.
      `${proof.text()}, ${proof.text()}`,
      `${proof.text()} `,
    ];
    expect(wrong.filter((text) => proofs.idIn(text) !== undefined)).toEqual([]);
    expect(proofs.idIn(proof.text())).toBe(id);
  });
});
