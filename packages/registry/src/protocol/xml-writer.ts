/** An element: its name and what is in it. Elements that are undefined are left away. */
export type XmlElement = readonly [
  name: string,
  content: XmlContent,
  attributes?: Readonly<Record<string, string>>,
];
export type XmlContent = string | number | boolean | readonly (XmlElement | undefined)[];

/** Of every result of S3, though not of its errors. */
export const S3_NAMESPACE: Readonly<Record<string, string>> = {
  xmlns: "http://s3.amazonaws.com/doc/2006-03-01/",
};

/** A whole document. */
export const xmlDocument = (root: XmlElement): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n${xmlElement(root)}`;

const xmlElement = ([name, content, attributes = {}]: XmlElement): string => {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escaped(value)}"`);
  return `<${name}${written.join("")}>${xmlContent(content)}</${name}>`;
};

const xmlContent = (content: XmlContent): string => {
  if (typeof content === "string") return escaped(content);
  if (typeof content !== "object") return String(content);
  return content.map((child) => (child === undefined ? "" : xmlElement(child))).join("");
};

const NAMED: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
};

/**
 * Control characters become references, as S3 writes them: line ends would else be changed by the reader. XML 1.0 has no way to
 * carry the others at all; who has such keys asks for encoding-type=url.
 */
const escaped = (text: string): string =>
  text.replaceAll(/[&<>"'\p{Cc}\u2028\ufffe\uffff]/gu, (sign) => NAMED[sign] ?? `&#${sign.charCodeAt(0)};`);
