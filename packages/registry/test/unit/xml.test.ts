import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { readXml } from "../../src/protocol/xml-reader.ts";
import { xmlDocument } from "../../src/protocol/xml-writer.ts";
import { SEED } from "../support/seed.ts";

const read = (text: string, root = "Delete") => readXml(Buffer.from(text), root);

const codeOf = (act: () => unknown): unknown => {
  try {
    act();
    return "none";
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
};

describe("XML that is read", () => {
  it("decodes what Go's clients write around ETags", () => {
    const text =
      "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&#34;abc&#34;</ETag></Part></CompleteMultipartUpload>";
    const [part] = read(text, "CompleteMultipartUpload").all("Part");
    expect(part?.text("ETag")).toBe('"abc"');
    expect(part?.text("PartNumber")).toBe("1");
  });

  it("keeps keys as they are: spaces, digits, signs, and what looks like markup", () => {
    const keys = [" a ", "007", "1e3", "true", "<b>&amp;", "a\nb", "ü\u{1f600}", "__proto__"];
    const objects = keys.map((key) =>
      xmlDocument(["Object", [["Key", key]]])
        .split("\n")
        .slice(1)
        .join("\n"),
    );
    const found = read(
      `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">\n ${objects.join("\n ")}</Delete>`,
    ).all("Object");
    expect(found.map((object) => object.text("Key"))).toEqual(keys);
  });

  it.each([
    ["a document type", '<!DOCTYPE a [<!ENTITY b "c">]><Delete>&b;</Delete>'],
    ["an external entity", '<!DOCTYPE a SYSTEM "file:///etc/passwd"><Delete/>'],
    ["a document type in small letters", "<!doctype a><Delete/>"],
    ["an end that is missing", "<Delete><Object>"],
    ["ends in the wrong order", "<Delete><Object></Delete></Object>"],
    ["another element", "<Other/>"],
    ["two elements", "<Delete/><Delete/>"],
    ["no element", ""],
    ["CDATA", "<Delete><Object><Key><![CDATA[a]]></Key></Object></Delete>"],
    ["text", "hello"],
    ["JSON", '{"Delete": 1}'],
  ])("is refused with %s", (_, text) => {
    expect(() => read(text)).toThrow(expect.objectContaining({ code: "MalformedXML" }));
  });

  it.each([
    "&nbsp;",
    "&",
    "&;",
    "&#;",
    "&#x;",
    "&#55296;",
    "&#xD800;",
    "&#1114112;",
    "&#99999999;",
    "&lt",
    "&LT;",
  ])("is refused with the reference %s in a text", (reference) => {
    expect(() => read(`<Delete><Key>a${reference}</Key></Delete>`).text("Key")).toThrow(
      expect.objectContaining({ code: "MalformedXML" }),
    );
  });

  it("names the key that the client means, also with characters that XML does not allow", () => {
    expect(read("<Delete><Key>a&#1;&#x1F;&#0;b</Key></Delete>").text("Key")).toBe("a\u0001\u001f\0b");
  });

  it("is refused if it is not UTF-8", () => {
    expect(() => readXml(Buffer.from([0x3c, 0x61, 0xff, 0x2f, 0x3e]), "a")).toThrow(
      expect.objectContaining({ code: "MalformedXML" }),
    );
  });

  it("fails with nothing but MalformedXML, whatever it is", () => {
    const piece = fc.constantFrom(
      "<",
      ">",
      "/",
      "Delete",
      "&#34;",
      "&",
      "<!--",
      "-->",
      "<![CDATA[",
      "]]>",
      "<?xml",
      "?>",
      " a='b'",
      "\0",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        expect(codeOf(() => read(pieces.join("")).all("Object"))).toMatch(/^(?:MalformedXML|none)$/u);
      }),
      { seed: SEED, numRuns: 2_000 },
    );
  });
});

describe("XML that is written", () => {
  it("is read as what was written, whatever the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (key) => {
        const text = xmlDocument(["Delete", [["Key", key]]]);
        expect(read(text).text("Key") ?? "").toBe(key);
      }),
      { seed: SEED, numRuns: 2_000 },
    );
  });

  it("leaves elements away that are undefined, and has attributes where they are given", () => {
    const text = xmlDocument(["A", [undefined, ["B", 5], ["C", true, { "xsi:type": 'a"b' }]]]);
    expect(text).toBe(
      '<?xml version="1.0" encoding="UTF-8"?>\n<A><B>5</B><C xsi:type="a&quot;b">true</C></A>',
    );
  });
});
