import type { NetworkClass, OlError, SandboxLimits } from "@ol/common";

import type { KeepOrder, SandboxSpec, ZygoteSpec } from "./engine.ts";
import { sandboxError } from "./errors.ts";

const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

const MODULE = /^[\p{ID_Start}_][\p{ID_Continue}]*(\.[\p{ID_Start}_][\p{ID_Continue}]*)*$/u;

const MODULE_CHARACTERS = 200;

const INSIDE = "must be a relative path without empty parts, . or ..";

/** What an engine gives an import that nobody gave less. */
const MOST_IMPORT_MS = 30_000;

const NETWORKS: readonly NetworkClass[] = ["host", "outbound", "none"];

/** Smallest and largest value of each limit. */
const LIMITS: Readonly<Record<keyof SandboxLimits, readonly [number, number]>> = {
  memoryMb: [1, 1_048_576],
  swappiness: [0, 100],
  procs: [1, 1_000_000],
  cpuPercent: [1, 100_000],
  logMb: [0, 1_048_576],
  scratchMb: [0, 1_048_576],
};

const bad = (field: string, rule: string, whose = "sandbox"): OlError =>
  sandboxError("OL_SANDBOX_BAD_OPTIONS", `A ${whose}'s ${field} ${rule}.`, { details: { field } });

/** Checks a spec and returns a frozen copy; throws OL_SANDBOX_BAD_OPTIONS, which names the field. */
export const checkSpec = (spec: SandboxSpec): SandboxSpec => {
  if (typeof spec.name !== "string" || !NAME.test(spec.name))
    throw bad("name", "must be 1 to 128 of A-Z a-z 0-9 . _ - and not begin with a dot or dash");
  if (typeof spec.code !== "string" || !isInside(spec.code)) throw bad("code", INSIDE);
  if (!NETWORKS.includes(spec.network)) throw bad("network", "must be host, outbound or none");
  return Object.freeze({
    name: spec.name,
    code: spec.code,
    network: spec.network,
    environment: checkEnvironment(spec.environment),
    limits: checkLimits(spec.limits),
    ...(spec.zygote !== undefined && { zygote: checkZygoteId(spec.zygote) }),
    ...(spec.packages !== undefined && { packages: checkPackages(spec.packages) }),
    ...(spec.scratchOnDisk === true && { scratchOnDisk: true }),
  });
};

/** Throws OL_SANDBOX_BAD_OPTIONS. */
export const checkKeepOrders = (orders: readonly KeepOrder[]): void => {
  for (const { source, target } of orders) {
    if (typeof source !== "string" || !isInside(source)) throw bad("source", INSIDE, "directory to keep");
    if (typeof target !== "string" || !isInside(target)) throw bad("target", INSIDE, "directory to keep");
  }
};

/** Checks a zygote's spec and returns a frozen copy; throws OL_SANDBOX_BAD_OPTIONS, which names the field. */
export const checkZygoteSpec = (spec: ZygoteSpec): ZygoteSpec => {
  if (!NETWORKS.includes(spec.network)) throw bad("network", "must be host, outbound or none", "zygote");
  const { modules } = spec;
  if (!Array.isArray(modules) || !modules.every(isModuleName))
    throw bad("modules", "must be a list of module names", "zygote");
  const { importMs } = spec;
  if (importMs !== undefined && (!Number.isInteger(importMs) || importMs < 1 || importMs > MOST_IMPORT_MS))
    throw bad("importMs", `must be a whole number from 1 to ${MOST_IMPORT_MS}`, "zygote");
  return Object.freeze({
    ...(spec.parent !== undefined && { parent: checkZygoteId(spec.parent) }),
    network: spec.network,
    packages: checkPackages(spec.packages),
    modules: Object.freeze([...modules]),
    limits: checkLimits(spec.limits),
    ...(importMs !== undefined && { importMs }),
  });
};

/** Whether Python could have a module of that name. */
export const isModuleName = (name: unknown): name is string =>
  typeof name === "string" && name.length <= MODULE_CHARACTERS && MODULE.test(name);

/** The id, if it can be one; throws OL_SANDBOX_BAD_OPTIONS. */
export const checkZygoteId = (id: string): string => {
  if (typeof id !== "string" || !NAME.test(id)) throw bad("id", `must match ${NAME.source}`, "zygote");
  return id;
};

const checkPackages = (packages: readonly string[]): readonly string[] => {
  const fine =
    Array.isArray(packages) && packages.every((entry) => typeof entry === "string" && isInside(entry));
  if (!fine) throw bad("packages", "must be a list of relative paths without empty parts, . or ..");
  return Object.freeze([...packages]);
};

const isInside = (path: string): boolean =>
  !path.includes("\0") && path.split("/").every((part) => part !== "" && part !== "." && part !== "..");

const checkEnvironment = (
  environment: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> => {
  if (typeof environment !== "object" || environment === null)
    throw bad("environment", "must be an object of strings");
  for (const [name, value] of Object.entries(environment)) {
    if (name === "" || /[=\0]/.test(name))
      throw bad(`environment["${name}"]`, "has a name that cannot be used");
    if (typeof value !== "string" || value.includes("\0"))
      throw bad(`environment["${name}"]`, "must be a string without NUL");
  }
  return Object.freeze({ ...environment });
};

const checkLimits = (limits: SandboxLimits): SandboxLimits => {
  if (typeof limits !== "object" || limits === null) throw bad("limits", "must be an object");
  for (const [name, [least, most]] of Object.entries(LIMITS)) {
    const value = limits[name as keyof SandboxLimits];
    if (!Number.isInteger(value) || value < least || value > most)
      throw bad(`limits.${name}`, `must be a whole number from ${least} to ${most}`);
  }
  const { memoryMb, swappiness, procs, cpuPercent, logMb, scratchMb } = limits;
  return Object.freeze({ memoryMb, swappiness, procs, cpuPercent, logMb, scratchMb });
};
