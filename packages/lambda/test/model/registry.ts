import { bundleError, type LambdaConfig } from "@ol/bundle";
import type { OlError } from "@ol/common";
import type { CodeKind } from "@ol/sandbox";

import { type CodeSource, type LambdaCode, lambdaError } from "../../src/index.ts";
import { codeDir, type Load, VERSION } from "./lambdas.ts";
import { type Installing, REQUIREMENTS } from "./packages.ts";

/** Code as somebody writes it. */
export interface Draft {
  readonly kind: CodeKind;
  readonly load: Load;
  readonly config: Partial<LambdaConfig>;
  /** How installing its packages goes; undefined if it has none. */
  readonly packages?: Installing;
}

/** Code that was deployed. */
export interface Version extends Draft {
  readonly digest: string;
  /** How often it was deployed: code is sometimes changed back. */
  times: number;
}

interface Entry {
  /** An error is a mistake in ol.yaml; undefined: there is no such lambda. */
  code: Version | OlError | undefined;
  /** Changes with each deployment. */
  stamp: number;
  /** What was deployed so far, in its order; undefined for what was no code. */
  readonly history: (Version | undefined)[];
  /** Place in the history of the newest code that a call was handed to. */
  seen: number;
}

/** The code source of a world: in memory, slow or down as the world wants it, and exact about what it gave out. */
export class Registry implements CodeSource {
  /** How long each answer takes. */
  delayMs = 0;
  /** Whether it cannot be asked at all. */
  down = false;
  /** Versions given out and not given back. */
  readonly held: Map<string, number> = new Map();
  readonly versions: Map<string, Version> = new Map();
  readonly #entries = new Map<string, Entry>();
  readonly #fault: (text: string) => void;

  constructor(fault: (text: string) => void) {
    this.#fault = fault;
  }

  get names(): readonly string[] {
    return [...this.#entries.keys()];
  }

  /** What is deployed; undefined if it cannot be run for a mistake in ol.yaml, or is not there. */
  deployed(name: string): Version | undefined {
    const code = this.#entries.get(name)?.code;
    return code !== undefined && "digest" in code ? code : undefined;
  }

  deploy(name: string, draft: Draft): void {
    const digest = `${name}-v${this.versions.size + 1}`;
    this.#put(name, { ...draft, digest, times: 0 });
  }

  /** Somebody writes nonsense into ol.yaml. */
  deployMistake(name: string): void {
    this.#put(name, bundleError("OL_BUNDLE_BAD_CONFIG", "ol.yaml:1: nonsense: is not a known key"));
  }

  remove(name: string): void {
    this.#put(name, undefined);
  }

  /** Deploys once more what was deployed so many deployments ago, if that was code. */
  deployAgain(name: string, ago: number): void {
    const version = this.#entry(name).history.at(-1 - ago);
    if (version !== undefined) this.#put(name, version);
  }

  /** Somebody saves a file without changing it. */
  touch(name: string): void {
    this.#entry(name).stamp += 1;
  }

  /** A call is handed to that version; false if the function's calls were handed to newer code already. */
  see(name: string, digest: string): boolean {
    const entry = this.#entry(name);
    const at = entry.history.findIndex((version, place) => place >= entry.seen && version?.digest === digest);
    if (at >= 0) entry.seen = at;
    return at >= 0;
  }

  async resolve(name: string): Promise<LambdaCode> {
    await this.#answers();
    const { code, stamp } = this.#find(name);
    this.held.set(code.digest, (this.held.get(code.digest) ?? 0) + 1);
    const { digest, kind, load, config, packages } = code;
    const environment = { [VERSION]: digest };
    return {
      name,
      digest,
      dir: codeDir(kind, load),
      stamp,
      config: { limits: {}, ...config, environment },
      ...(packages !== undefined && { requirements: REQUIREMENTS }),
    };
  }

  async current(name: string): Promise<string> {
    await this.#answers();
    const entry = this.#entries.get(name);
    if (entry?.code === undefined) throw unknown(name);
    return String(entry.stamp);
  }

  async kept(): Promise<readonly string[]> {
    await this.#answers();
    return this.names.filter((name) => (this.deployed(name)?.config.minInstances ?? 0) > 0);
  }

  release({ digest }: LambdaCode): void {
    const left = (this.held.get(digest) ?? 0) - 1;
    this.held.set(digest, left);
    if (left < 0) this.#fault(`${digest} was given back too often`);
  }

  async #answers(): Promise<void> {
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    if (this.down) throw new Error("connect ECONNREFUSED");
  }

  #find(name: string): { readonly code: Version; readonly stamp: string } {
    const entry = this.#entries.get(name);
    if (entry?.code === undefined) throw unknown(name);
    if (!("digest" in entry.code)) throw entry.code;
    return { code: entry.code, stamp: String(entry.stamp) };
  }

  #put(name: string, code: Version | OlError | undefined): void {
    const entry = this.#entry(name);
    entry.code = code;
    entry.stamp += 1;
    const version = code !== undefined && "digest" in code ? code : undefined;
    entry.history.push(version);
    if (version === undefined) return;
    version.times += 1;
    this.versions.set(version.digest, version);
  }

  #entry(name: string): Entry {
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { code: undefined, stamp: 0, history: [], seen: 0 };
      this.#entries.set(name, entry);
    }
    return entry;
  }
}

const unknown = (name: string): OlError => lambdaError("OL_LAMBDA_UNKNOWN", `there is no lambda ${name}`);
