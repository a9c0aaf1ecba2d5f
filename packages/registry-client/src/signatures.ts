import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";

import { registryClientError } from "./errors.ts";

/**
 * What a signature is about: these bytes are meant to be this lambda. The lambda's name is part of it, so that nobody who can
 * write to the store runs one lambda's bundle as another; the tag is not, so that moving one needs no key.
 */
const statement = (name: string, digest: string): Buffer => Buffer.from(`ol-bundle-v1\n${name}\n${digest}\n`);

const SIGNATURE_BYTES = 64;

const badKey = (where: string, why: string, cause?: unknown): Error =>
  registryClientError("OL_REGISTRY_CLIENT_BAD_KEY", `${where} ${why}`, cause === undefined ? {} : { cause });

const ed25519 = (key: KeyObject, where: string): KeyObject => {
  if (key.asymmetricKeyType !== "ed25519")
    throw badKey(where, `is a key of type ${key.asymmetricKeyType ?? key.type}, not ed25519`);
  return key;
};

/** A private key in PEM (PKCS #8, as `openssl genpkey -algorithm ed25519` writes it). `where` is how messages call it; fails with OL_REGISTRY_CLIENT_BAD_KEY. */
export const parseSigningKey = (pem: string, where: string): KeyObject => {
  try {
    return ed25519(createPrivateKey(pem), where);
  } catch (error) {
    if (error instanceof Error && "causedBy" in error) throw error;
    // OpenSSL's own words may quote what it read.
    throw badKey(where, "is no private key in PEM format");
  }
};

const PUBLIC = /-----BEGIN PUBLIC KEY-----[\s\S]+?-----END PUBLIC KEY-----/gu;

/** Every public key of a text in PEM (`openssl pkey -pubout`). `where` is how messages call it; fails with OL_REGISTRY_CLIENT_BAD_KEY if there is none, or a wrong one. */
export const parseTrustedKeys = (pem: string, where: string): readonly KeyObject[] => {
  const blocks = pem.match(PUBLIC) ?? [];
  if (blocks.length === 0) throw badKey(where, "holds no public key in PEM format");
  return blocks.map((block) => {
    try {
      return ed25519(createPublicKey(block), where);
    } catch (error) {
      if (error instanceof Error && "causedBy" in error) throw error;
      throw badKey(where, "holds a public key that cannot be read", error);
    }
  });
};

/** The signature of a bundle in base64. */
export const signBundle = (key: KeyObject, name: string, digest: string): string =>
  sign(null, statement(name, digest), key).toString("base64");

/** Whether one of the keys made the signature. */
export const isSignedBy = (
  keys: readonly KeyObject[],
  name: string,
  digest: string,
  signature: string | undefined,
): boolean => {
  if (signature === undefined) return false;
  const bytes = Buffer.from(signature, "base64");
  if (bytes.length !== SIGNATURE_BYTES) return false;
  return keys.some((key) => verify(null, statement(name, digest), key, bytes));
};
