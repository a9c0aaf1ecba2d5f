import { BundleNames } from "./bundle-names.ts";
import { LAMBDA_CONFIG_FILE } from "./lambda-config-file.ts";
import { EMPTY_LAMBDA_CONFIG, type LambdaConfig, parseLambdaConfig } from "./lambda-config.ts";
import { DEFAULT_PACKED_LIMITS } from "./packed-limits.ts";
import { type PackedBundle, type PackedOptions, readPacked } from "./packed-reader.ts";
import type { TarVisitor } from "./tar-reader.ts";
import { MAX_YAML_BYTES } from "./yaml-source.ts";

/** Takes only the names down. */
class Listener implements TarVisitor {
  readonly #names: BundleNames;

  constructor(names: BundleNames) {
    this.#names = names;
  }

  directory(name: string): void {
    this.#names.directory(name);
  }

  beginFile(name: string): string {
    return this.#names.file(name).path;
  }

  data(_bytes: Uint8Array): void {}

  endFile(): void {}
}

/** Keeps the content of one file of the archive. */
class Finder extends Listener {
  readonly #path: string;
  readonly #maxBytes: number;
  #pieces: Uint8Array[] | undefined;
  #bytes = 0;
  #isIt = false;

  constructor(names: BundleNames, path: string, maxBytes: number) {
    super(names);
    this.#path = path;
    this.#maxBytes = maxBytes;
  }

  /** Undefined if the file is not there; at most one byte more than the limit. */
  get content(): Buffer | undefined {
    return this.#pieces === undefined
      ? undefined
      : Buffer.concat(this.#pieces).subarray(0, this.#maxBytes + 1);
  }

  override beginFile(name: string): string {
    const path = super.beginFile(name);
    this.#isIt = path === this.#path;
    if (this.#isIt) this.#pieces = [];
    return path;
  }

  override data(bytes: Uint8Array): void {
    if (!this.#isIt || this.#bytes > this.#maxBytes) return;
    // A copy: what comes is only lent.
    this.#pieces?.push(Buffer.from(bytes));
    this.#bytes += bytes.length;
  }
}

/**
 * The configuration in a packed bundle, as readLambdaConfig has it of a directory; nothing is written. Fails as inspectBundle
 * does, and with OL_BUNDLE_BAD_CONFIG.
 */
export const readPackedConfig = async (
  source: AsyncIterable<Uint8Array>,
  { limits = DEFAULT_PACKED_LIMITS, signal }: PackedOptions = {},
): Promise<LambdaConfig> => {
  const names = new BundleNames(limits);
  const finder = new Finder(names, LAMBDA_CONFIG_FILE, MAX_YAML_BYTES);
  await readPacked(source, finder, names, limits, signal);
  const { content } = finder;
  return content === undefined
    ? EMPTY_LAMBDA_CONFIG
    : parseLambdaConfig(content.toString("utf8"), LAMBDA_CONFIG_FILE);
};

/** As unpackBundle, but nothing is written. */
export const inspectBundle = (
  source: AsyncIterable<Uint8Array>,
  { limits = DEFAULT_PACKED_LIMITS, signal }: PackedOptions = {},
): Promise<PackedBundle> => {
  const names = new BundleNames(limits);
  return readPacked(source, new Listener(names), names, limits, signal);
};
