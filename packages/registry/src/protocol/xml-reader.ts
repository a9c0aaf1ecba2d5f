import { XMLParser, XMLValidator } from "fast-xml-parser";

import { s3Error } from "../s3-error.ts";

// Values stay what they are: the key "007" is no number, and " a" keeps its space. References are decoded below: the parser leaves those
// away that XML 1.0 does not allow, and would have another object deleted than the client names.
const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  processEntities: false,
  removeNSPrefix: true,
  trimValues: false,
});

/** What an element has in it: text, or elements by name; of several of one name a list. */
type Parsed = string | { readonly [name: string]: Parsed | readonly Parsed[] };

/** An element of a request's XML. */
export class XmlNode {
  readonly #parsed: Parsed;

  constructor(parsed: Parsed) {
    this.#parsed = parsed;
  }

  /** Those of that name directly in this one. */
  all(name: string): readonly XmlNode[] {
    if (typeof this.#parsed === "string" || !Object.hasOwn(this.#parsed, name)) return [];
    const there = this.#parsed[name] as Parsed | readonly Parsed[];
    return (Array.isArray(there) ? (there as readonly Parsed[]) : [there as Parsed]).map(
      (one) => new XmlNode(one),
    );
  }

  /** The text of the element of that name; undefined without one. Fails with MalformedXML if there are several, or elements in it. */
  text(name: string): string | undefined {
    const [node, ...others] = this.all(name);
    if (node === undefined) return undefined;
    if (others.length > 0 || typeof node.#parsed !== "string") throw s3Error("MalformedXML");
    return decoded(node.#parsed);
  }
}

const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
const REFERENCE = /&(?:#(?<decimal>\d{1,7});|#[xX](?<hexadecimal>[0-9a-fA-F]{1,6});|(?<name>[a-z]{2,4});)?/gu;

/** Text with its references decoded, also `&#34;`, as Go's clients write it. Fails with MalformedXML. */
const decoded = (text: string): string =>
  text.replaceAll(REFERENCE, (_, decimal?: string, hexadecimal?: string, name?: string) => {
    if (name !== undefined && Object.hasOwn(NAMED, name)) return NAMED[name] as string;
    const code = decimal === undefined ? Number.parseInt(hexadecimal ?? "", 16) : Number(decimal);
    // Half of a surrogate pair is no character.
    if (!(code <= 0x10_ff_ff) || (code >= 0xd8_00 && code <= 0xdf_ff)) throw s3Error("MalformedXML");
    return String.fromCodePoint(code);
  });

/** Reads a document whose outermost element is `root`. Fails with MalformedXML. */
export const readXml = (body: Uint8Array, root: string): XmlNode => {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch (error) {
    throw s3Error("MalformedXML", "The XML is not UTF-8.", { cause: error });
  }
  // Entities of its own are all that a document type could bring; in CDATA, which no client writes, references are none.
  if (/<!(?!--)/u.test(text)) throw s3Error("MalformedXML", "The XML must have no DOCTYPE and no CDATA.");
  if (XMLValidator.validate(text) !== true) throw s3Error("MalformedXML");
  let parsed: Parsed;
  try {
    parsed = parser.parse(text) as Parsed;
  } catch (error) {
    throw s3Error("MalformedXML", undefined, { cause: error });
  }
  const [node, ...others] = new XmlNode(parsed).all(root);
  if (node === undefined || others.length > 0) throw s3Error("MalformedXML", `The XML must be one ${root}.`);
  return node;
};
