import { XMLParser, XMLValidator } from "fast-xml-parser";

import { s3Error } from "../s3-error.ts";

// Values stay what they are: the key "007" is no number, and " a" keeps its space. Go's clients write `&#34;` around ETags.
const parser = new XMLParser({
  htmlEntities: true,
  ignoreAttributes: true,
  parseTagValue: false,
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
    return (Array.isArray(there) ? (there as readonly Parsed[]) : [there as Parsed]).map((one) => new XmlNode(one));
  }

  /** The text of the element of that name; undefined without one. Fails with MalformedXML if there are several, or elements in it. */
  text(name: string): string | undefined {
    const [node, ...others] = this.all(name);
    if (node === undefined) return undefined;
    if (others.length > 0 || typeof node.#parsed !== "string") throw s3Error("MalformedXML");
    return node.#parsed;
  }
}

/** Reads a document whose outermost element is `root`. Fails with MalformedXML. */
export const readXml = (body: Uint8Array, root: string): XmlNode => {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch (error) {
    throw s3Error("MalformedXML", "The XML is not UTF-8.", { cause: error });
  }
  // Entities of its own are all that a document type could bring.
  if (/<!(?:DOCTYPE|ENTITY)/iu.test(text)) throw s3Error("MalformedXML", "The XML must not have a DOCTYPE.");
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
