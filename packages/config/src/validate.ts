import { isIP } from "node:net";

import { nearest } from "@ol/common";
import { Ajv, type ErrorObject, type ValidateFunction } from "ajv";

import { configError } from "./errors.ts";
import { LATER_KEYS } from "./later.ts";
import { isSecretKey } from "./redact.ts";
import { type KeySchema, WORKER_SCHEMA } from "./schema.ts";
import type { WorkerTemplate } from "./template.ts";

/** More than these say nothing new. */
const MAX_PROBLEMS = 20;
const HOST_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/u;

const isListenAddress = (text: string): boolean =>
  isIP(text.replace(/^\[(?<inside>.*)\]$/u, "$<inside>")) !== 0 || HOST_NAME.test(text);

const isIpOrCidr = (text: string): boolean => {
  const [address = "", bits, ...rest] = text.split("/");
  const family = isIP(address);
  if (family === 0 || rest.length > 0) return false;
  return bits === undefined || (/^\d{1,3}$/u.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
};

const urlOf = (text: string): URL | undefined => (URL.canParse(text) ? new URL(text) : undefined);

/** Keys have options of their own: in an address they would be shown. */
const isPlain = ({ username, password, search, hash }: URL): boolean =>
  username === "" && password === "" && search === "" && hash === "";

const BUCKET_PATH = /^\/?(?:[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?\/?$/u;

const isRegistry = (text: string): boolean => {
  if (text === "local" || text === "remote") return true;
  const url = urlOf(text);
  if (url === undefined || !isPlain(url)) return false;
  switch (url.protocol) {
    case "file:":
      return url.host === "" && url.pathname.length > 1;
    case "s3:":
      return BUCKET_PATH.test(url.host) && url.host.length > 2 && url.pathname.length <= 1;
    default:
      return ["http:", "https:"].includes(url.protocol) && BUCKET_PATH.test(url.pathname);
  }
};

const isServer = (text: string): boolean => {
  const url = urlOf(/^https?:\/\//u.test(text) ? text : `http://${text}`);
  return url !== undefined && isPlain(url) && url.pathname === "/";
};

const compile = (schema: KeySchema): ValidateFunction => {
  const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true, coerceTypes: false });
  ajv.addVocabulary(["expects", "defaultText"]);
  ajv.addFormat("listen-address", isListenAddress);
  ajv.addFormat("ip-or-cidr", isIpOrCidr);
  ajv.addFormat("registry", isRegistry);
  ajv.addFormat("server", isServer);
  ajv.addFormat("port", (text) => /^\d{1,5}$/u.test(text) && Number(text) <= 65_535);
  return ajv.compile(schema);
};

const compiled = new Map<KeySchema, ValidateFunction>();

const validatorOf = (schema: KeySchema): ValidateFunction => {
  const validate = compiled.get(schema) ?? compile(schema);
  compiled.set(schema, validate);
  return validate;
};

/** "/limits/mem_mb" as a list of keys. */
const keysOf = (pointer: string): string[] =>
  pointer
    .split("/")
    .slice(1)
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));

const schemaAt = (root: KeySchema, keys: readonly string[]): KeySchema | undefined => {
  let schema: KeySchema | undefined = root;
  for (const key of keys) schema = schema?.items ?? schema?.properties?.[key];
  return schema;
};

const valueAt = (root: unknown, keys: readonly string[]): unknown => {
  let value = root;
  for (const key of keys) value = (value as Record<string, unknown>)[key];
  return value;
};

/** A value as it was written, escaped and short. */
const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
};

const unknownKey = (schema: KeySchema, parents: readonly string[], key: string): string => {
  const path = [...parents, key].join(".");
  if (schema === WORKER_SCHEMA && LATER_KEYS.includes(path))
    return `${path}: is not available in this version yet; remove it`;
  const known = Object.keys(schemaAt(schema, parents)?.properties ?? {});
  const meant = nearest(key, known);
  const advice =
    meant === undefined
      ? `\`npx ol-admin config\` lists all keys`
      : `did you mean ${shown([...parents, meant].join("."))}?`;
  return `${shown(path).slice(1, -1)}: is not a known key; ${advice}`;
};

const wrongValue = (schema: KeySchema, root: unknown, keys: readonly string[]): string => {
  const path = keys.join(".");
  const value = valueAt(root, keys);
  const expects = schemaAt(schema, keys)?.expects ?? "another value";
  // An address with a password in it is wrong, and not to be shown either.
  const secret = keys.some((key) => isSecretKey(key)) || (typeof value === "string" && value.includes("@"));
  const found = secret ? "what is there" : shown(value);
  return `${path === "" ? "" : `${path}: `}must be ${expects}, not ${found}`;
};

const lineOf = (schema: KeySchema, root: unknown, error: ErrorObject): string => {
  const keys = keysOf(error.instancePath);
  return error.keyword === "additionalProperties"
    ? unknownKey(schema, keys, String(error.params["additionalProperty"]))
    : wrongValue(schema, root, keys);
};

/** Every mistake in a configuration, one line each; none if it is sound. */
export const problemsIn = (value: unknown, schema: KeySchema = WORKER_SCHEMA): readonly string[] => {
  const validate = validatorOf(schema);
  if (validate(value)) return [];
  const lines = new Set((validate.errors ?? []).map((error) => lineOf(schema, value, error)));
  return [...lines];
};

/** Fails with OL_CONFIG_INVALID and all `problems`, each beginning with where it was found. */
export const assertNoProblems = (problems: readonly string[], where: string): void => {
  if (problems.length === 0) return;
  const lines = problems.slice(0, MAX_PROBLEMS).map((problem) => `${where}: ${problem}`);
  if (problems.length > MAX_PROBLEMS) lines.push(`${where}: and ${problems.length - MAX_PROBLEMS} more`);
  throw configError("OL_CONFIG_INVALID", lines.join("\n"), { details: { problems: lines } });
};

/**
 * Returns `value` if it is a sound worker configuration; otherwise fails with OL_CONFIG_INVALID, one line for
 * every mistake: `where: key: what is wrong, and what to write instead`.
 */
export const validateTemplate = (value: unknown, where: string): WorkerTemplate => {
  assertNoProblems(problemsIn(value), where);
  return value as WorkerTemplate;
};
