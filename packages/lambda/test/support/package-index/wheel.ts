import { createHash } from "node:crypto";

import { zip, type ZipEntry } from "./zip.ts";

/** What a wheel is made from. */
export interface WheelSpec {
  /** As its file is called: `ol_plain`. */
  readonly name: string;
  /** Default `1.0`. */
  readonly version?: string;
  /** Default `py3-none-any`. */
  readonly tag?: string;
  /** `Requires-Dist` lines, and `Provides-Extra` ones for the extras in them. */
  readonly requires?: readonly string[];
  readonly extras?: readonly string[];
  /** `Requires-Python`. */
  readonly python?: string;
  /** Its modules and whatever else, by path; default: one module with `VERSION`. */
  readonly files?: Readonly<Record<string, string | Buffer>>;
  /** Entries as they are, behind all others, and in RECORD if they say so. */
  readonly entries?: readonly (ZipEntry & { readonly unrecorded?: boolean })[];
  /** What RECORD says; default: the truth. */
  readonly record?: string;
}

/** A file of an index. */
export interface Distribution {
  /** The project's, as in the index. */
  readonly project: string;
  readonly version: string;
  readonly file: string;
  readonly data: Buffer;
  readonly sha256: string;
  /** What PEP 658 serves; undefined for what is no wheel. */
  readonly metadata: string | undefined;
  readonly python: string | undefined;
}

const FILE = 0o100644;

export const sha256 = (data: Buffer | string): string => createHash("sha256").update(data).digest("hex");

const projectOf = (name: string): string => name.toLowerCase().replaceAll(/[-_.]+/gu, "-");

const metadataOf = ({ name, version, requires = [], extras = [], python }: WheelSpec): string =>
  [
    "Metadata-Version: 2.1",
    `Name: ${name}`,
    `Version: ${version ?? "1.0"}`,
    ...(python === undefined ? [] : [`Requires-Python: ${python}`]),
    ...extras.map((extra) => `Provides-Extra: ${extra}`),
    ...requires.map((line) => `Requires-Dist: ${line}`),
    "",
  ].join("\n");

const recordLine = ({ name, data }: ZipEntry): string => {
  const digest = createHash("sha256").update(data).digest("base64url");
  return `${name},sha256=${digest},${data.length}`;
};

/** A wheel as an index has it. */
export const wheel = (spec: WheelSpec): Distribution => {
  const { name, version = "1.0", tag = "py3-none-any", entries = [], python } = spec;
  const info = `${name}-${version}.dist-info`;
  const metadata = metadataOf(spec);
  const files = spec.files ?? { [`${name}.py`]: `VERSION = "${version}"\n` };
  const plain = {
    ...files,
    [`${info}/METADATA`]: metadata,
    [`${info}/WHEEL`]: `Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: ${tag}\n`,
  };
  const all: ZipEntry[] = [
    ...Object.entries(plain).map(([path, data]) => ({ name: path, data: Buffer.from(data), mode: FILE })),
    ...entries,
  ];
  const recorded = [
    ...all.slice(0, all.length - entries.length),
    ...entries.filter((one) => !one.unrecorded),
  ];
  const record = spec.record ?? [...recorded.map(recordLine), `${info}/RECORD,,`, ""].join("\n");
  const data = zip([...all, { name: `${info}/RECORD`, data: Buffer.from(record), mode: FILE }]);
  return {
    project: projectOf(name),
    version,
    file: `${name}-${version}-${tag}.whl`,
    data,
    sha256: sha256(data),
    metadata,
    python,
  };
};

/** A file that is no wheel, such as a source archive. */
export const sourceArchive = (name: string, version: string, data: Buffer): Distribution => ({
  project: projectOf(name),
  version,
  file: `${name}-${version}.tar.gz`,
  data,
  sha256: sha256(data),
  metadata: undefined,
  python: undefined,
});
