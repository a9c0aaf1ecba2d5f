import { s3Error } from "../s3-error.ts";
import { percentDecode } from "./percent.ts";

/** The parameters of a query, decoded, in the order in which they were sent. */
export class Query {
  readonly pairs: readonly (readonly [name: string, value: string])[];

  /** `text` is what follows the question mark, as it was sent. Fails with InvalidURI. */
  constructor(text: string) {
    this.pairs = text.split("&").flatMap((part) => {
      if (part === "") return [];
      const at = part.indexOf("=");
      const [name, value] = at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
      return [[decodeParameter(name), decodeParameter(value)] as const];
    });
  }

  /** The first of that name; a parameter without `=` has the value "". */
  get(name: string): string | undefined {
    return this.pairs.find(([candidate]) => candidate === name)?.[1];
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }
}

/** In a query, though not in a path, `+` is a space: forms made it so, and S3 follows them. */
const decodeParameter = (text: string): string => percentDecode(text.replaceAll("+", "%20"));

/** What a request is about, path-style: /BUCKET/KEY. */
export interface RequestTarget {
  /** As it was sent, without the query: what the client signed. */
  readonly path: string;
  /** The same, decoded. */
  readonly decodedPath: string;
  readonly query: Query;
  /** "" is the whole server. */
  readonly bucket: string;
  /** "" is the whole bucket. */
  readonly key: string;
}

/** Reads `request.url`. Fails with InvalidURI. */
export const readTarget = (url: string): RequestTarget => {
  // The absolute form is what clients send that take us for a proxy.
  const origin = url.replace(/^https?:\/\/[^/?]*/iu, "");
  const at = origin.indexOf("?");
  const path = (at < 0 ? origin : origin.slice(0, at)) || "/";
  if (!path.startsWith("/")) throw s3Error("InvalidURI");
  const decodedPath = percentDecode(path);
  const slash = decodedPath.indexOf("/", 1);
  return {
    path,
    decodedPath,
    query: new Query(at < 0 ? "" : origin.slice(at + 1)),
    bucket: slash < 0 ? decodedPath.slice(1) : decodedPath.slice(1, slash),
    key: slash < 0 ? "" : decodedPath.slice(slash + 1),
  };
};
