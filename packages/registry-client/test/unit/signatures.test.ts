import { generateKeyPairSync, type KeyObject } from "node:crypto";

import { describe, expect, it } from "vitest";

import { isSignedBy, parseSigningKey, parseTrustedKeys, signBundle } from "../../src/index.ts";

const DIGEST = "a".repeat(64);

const pair = () => generateKeyPairSync("ed25519");
const privatePem = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();
const publicPem = (key: KeyObject): string => key.export({ type: "spki", format: "pem" }).toString();

describe("a bundle's signature", () => {
  it("holds for its name and its bytes, by any of the trusted keys", () => {
    const [one, two] = [pair(), pair()];
    const signature = signBundle(parseSigningKey(privatePem(one.privateKey), "key.pem"), "a", DIGEST);
    const trusted = parseTrustedKeys(publicPem(two.publicKey) + publicPem(one.publicKey), "keys.pem");
    expect(trusted.length).toBe(2);
    expect(isSignedBy(trusted, "a", DIGEST, signature)).toBe(true);
    expect(isSignedBy([two.publicKey], "a", DIGEST, signature)).toBe(false);
    expect(isSignedBy([], "a", DIGEST, signature)).toBe(false);
    expect(isSignedBy(trusted, "b", DIGEST, signature)).toBe(false);
    expect(isSignedBy(trusted, "a", "b".repeat(64), signature)).toBe(false);
  });

  it("is none if it is missing, cut short, or has a bit changed", () => {
    const { privateKey, publicKey } = pair();
    const signature = signBundle(privateKey, "a", DIGEST);
    const bytes = Buffer.from(signature, "base64");
    bytes[10] = (bytes[10] as number) ^ 1;
    for (const wrong of [undefined, "", "no base64", signature.slice(0, 40), bytes.toString("base64")])
      expect(isSignedBy([publicKey], "a", DIGEST, wrong)).toBe(false);
  });

  it("wants ed25519 keys in PEM, and says which file has another", () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const wrong = [
      () => parseSigningKey("nothing", "key.pem"),
      () => parseSigningKey(publicPem(pair().publicKey), "key.pem"),
      () => parseSigningKey(privatePem(rsa.privateKey), "key.pem"),
      () => parseTrustedKeys("nothing", "key.pem"),
      () => parseTrustedKeys(publicPem(rsa.publicKey), "key.pem"),
      () => parseTrustedKeys(privatePem(pair().privateKey), "key.pem"),
    ];
    for (const parse of wrong) {
      let error: unknown;
      try {
        parse();
      } catch (why) {
        error = why;
      }
      expect(error).toMatchObject({
        code: "OL_REGISTRY_CLIENT_BAD_KEY",
        message: expect.stringContaining("key.pem"),
      });
      expect((error as Error).message).not.toContain("PRIVATE KEY");
    }
  });
});
