import { isSignatureOf, SIGNATURE_AGE_MS, SIGNATURE_HEADER } from "@ol/common";

import type { WorkerAddress } from "../options.ts";
import { addressProblem } from "./address.ts";

/** A request about a worker's registration, with its body as it came. */
export interface RegistrationRequest {
  readonly method: string;
  /** Path and query, as they were sent: the signature is over them. */
  readonly path: string;
  /** The ID in /_ol/workers/ID, undecoded. */
  readonly id: string;
  readonly body: Buffer;
  /** A field's value by its name in lower case. */
  header(name: string): string | undefined;
}

/** A worker as it registers itself. */
export interface LeasedAddress extends WorkerAddress {
  readonly id: string;
}

/**
 * What such a request says, once it is known to come from somebody who knows the token. `instance` tells a worker from one that had
 * its name before; empty if it does not say.
 */
export type Registration =
  | { readonly kind: "join"; readonly address: LeasedAddress; readonly instance: string }
  | { readonly kind: "leave"; readonly id: string; readonly instance: string };

/** What it is refused with: an HTTP status and the reason. */
export interface Refusal {
  readonly status: number;
  readonly text: string;
}

/** Whether it is a refusal. */
export const isRefusal = (value: object): value is Refusal => "status" in value;

/**
 * The signature of a request that is signed with the token and no older than 30 s, which is to be remembered for as long: the
 * same one again is a replay. `nowMs` is in ms since 1970.
 */
export const checkedSignature = (
  request: RegistrationRequest,
  token: string,
  nowMs: number,
): { readonly signature: string } | Refusal => {
  const time = request.header(SIGNATURE_HEADER.time) ?? "";
  const signature = request.header(SIGNATURE_HEADER.signature) ?? "";
  if (!/^[0-9]{1,15}$/u.test(time) || !/^[0-9a-f]{64}$/u.test(signature))
    return { status: 401, text: "the request is not signed with the cluster's token" };
  const timeMs = Number(time);
  const { method, path, body } = request;
  if (!isSignatureOf(token, { method, path, body, timeMs }, signature))
    return { status: 401, text: "the signature is not one by the cluster's token" };
  if (Math.abs(nowMs - timeMs) > SIGNATURE_AGE_MS)
    return {
      status: 401,
      text: "the signature is more than 30 s old; the machines' clocks differ, or it is a replay",
    };
  return { signature };
};

/** Host and port by default; as it stands in a path, where nothing of it needs to be encoded. */
const ID = /^[A-Za-z0-9._:[\]-]{1,200}$/u;

/** What the request asks for. */
export const readRegistration = ({ method, path, id, body }: RegistrationRequest): Registration | Refusal => {
  if (!ID.test(id)) return { status: 400, text: "the worker's id is none" };
  if (method === "DELETE") return { kind: "leave", id, instance: instanceIn(path) };
  if (method !== "PUT") return { status: 405, text: "only PUT and DELETE" };
  const fields = jsonIn(body);
  if (fields === undefined) return { status: 400, text: "the body is no JSON object" };
  const { url, slots, instance = "" } = fields;
  if (
    typeof url !== "string" ||
    (slots !== undefined && typeof slots !== "number") ||
    typeof instance !== "string"
  )
    return { status: 400, text: 'the body is not like {"url": "http://10.0.0.7:8080", "slots": 8}' };
  const address = { id, url, ...(slots !== undefined && { slots }) };
  const problem = addressProblem(address);
  return problem === undefined ? { kind: "join", address, instance } : { status: 400, text: problem };
};

const instanceIn = (path: string): string => {
  const query = path.indexOf("?");
  return query < 0 ? "" : (new URLSearchParams(path.slice(query + 1)).get("instance") ?? "");
};

const jsonIn = (body: Buffer): Readonly<Record<string, unknown>> | undefined => {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Readonly<Record<string, unknown>>;
  } catch {
    // No JSON: said by the caller.
  }
  return undefined;
};
