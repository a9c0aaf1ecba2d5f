import type { IncomingHttpHeaders } from "node:http";

/** A status that was not asked for, with what the store says about it. Stays inside this package. */
export class Refusal extends Error {
  readonly status: number;
  /** S3's code such as `NoSuchKey`; "" if the answer has none. */
  readonly s3Code: string;
  /** S3's own words, short; "" if there are none. */
  readonly words: string;
  /** The region that the store names. */
  readonly region: string | undefined;
  /** When the store answered, by its own clock. */
  readonly date: string | undefined;

  constructor(status: number, headers: IncomingHttpHeaders, body: string) {
    super(`the store answered with status ${status}`);
    this.name = "Refusal";
    this.status = status;
    this.s3Code = element(body, "Code");
    this.words = element(body, "Message");
    this.region = single(headers["x-amz-bucket-region"]) ?? (element(body, "Region") || undefined);
    this.date = headers.date;
  }
}

const MAX_WORDS = 200;

/** The text of an element without children. The few that are wanted need no XML parser, which would have to be kept from a stranger's tricks. */
const element = (xml: string, name: string): string => {
  const text = new RegExp(`<${name}>(?<text>[^<]*)</${name}>`, "u").exec(xml)?.groups?.["text"] ?? "";
  return text
    .slice(0, MAX_WORDS)
    .replaceAll(/[^\u0020-\u007e]/gu, "?")
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&amp;", "&");
};

const single = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value[0] : value;
