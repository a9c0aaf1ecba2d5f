import { isModuleName } from "./spec.ts";

/** What importing one package directory's modules cost a sandbox, without what other packages cost that these import. */
export interface PackageImport {
  /** As in `SandboxSpec.packages`. */
  readonly directory: string;
  readonly ms: number;
  /** Private memory, in KiB. */
  readonly kb: number;
  /** Those of its modules that were asked for from outside of it, in that order. Not all, if they are many. */
  readonly modules: readonly string[];
}

/**
 * The body of a guest's event `imports`, which comes right before `ready` from sandboxes that have packages. A package
 * that is absent was not imported there (what comes from a zygote is not), or took the least among very many.
 */
export interface ImportReport {
  readonly packages: readonly PackageImport[];
}

const MOST_MODULES = 64;
/** A day; more is no measurement. */
const MOST_MS = 86_400_000;
/** A TiB. */
const MOST_KB = 1_073_741_824;

/**
 * Reads the body of an event `imports`; `directories` are those of the sandbox's own spec. Undefined for whatever a guest
 * should not have said: it is lambda code that could have said it, so nothing in it is more than a hint.
 */
export const parseImports = (body: Buffer, directories: readonly string[]): ImportReport | undefined => {
  const report = parseJson(body);
  if (!isRecord(report) || !Array.isArray(report["packages"])) return undefined;
  const left = new Set(directories);
  const packages: PackageImport[] = [];
  for (const entry of report["packages"] as unknown[]) {
    const parsed = parsePackage(entry);
    if (parsed === undefined || !left.delete(parsed.directory)) return undefined;
    packages.push(parsed);
  }
  return { packages };
};

const parsePackage = (entry: unknown): PackageImport | undefined => {
  if (!isRecord(entry)) return undefined;
  const { directory, ms, kb, modules } = entry;
  if (typeof directory !== "string" || !isWithin(ms, MOST_MS) || !isWithin(kb, MOST_KB)) return undefined;
  if (!Array.isArray(modules) || modules.length > MOST_MODULES || !modules.every(isModuleName))
    return undefined;
  return { directory, ms, kb, modules };
};

const parseJson = (body: Buffer): unknown => {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isWithin = (value: unknown, most: number): value is number =>
  typeof value === "number" && value >= 0 && value <= most;
