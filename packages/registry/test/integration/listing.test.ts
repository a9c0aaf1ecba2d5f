import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { READER, TestRegistry } from "../support/registry.ts";

let registry: TestRegistry;
const KEYS = ["a", "b/1", "b/2", "b/c/1", "d e+f%", "ü", "\u{1f600}", "\uffee", "x\u0001y", "z<&>"];
beforeAll(async () => {
  registry = await TestRegistry.start();
  for (const key of KEYS) await registry.send("PUT", `/code/${key}`, { body: key });
});
afterAll(() => registry[Symbol.asyncDispose]());

/** In the order of their bytes, as S3 lists. */
const SORTED = [...KEYS].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

const elements = (text: string, name: string): string[] =>
  [...text.matchAll(new RegExp(`<${name}>(?<inside>[^<]*)</${name}>`, "gu"))].map(
    (match) => match.groups?.["inside"] ?? "",
  );

const list = async (query: Readonly<Record<string, string>>): Promise<string> => {
  const { status, text } = await registry.send("GET", "/code", { query, as: READER });
  expect({ status, text }).toMatchObject({ status: 200 });
  return text;
};

describe.each([
  ["1", {}],
  ["2", { "list-type": "2" }],
])("a listing, version %s,", (version, type) => {
  it("has every key in the order of its bytes, encoded as the client wants", async () => {
    const text = await list({ ...type, "encoding-type": "url" });
    expect(elements(text, "Key").map(decodeURIComponent)).toEqual(SORTED);
    expect(elements(text, "EncodingType")).toEqual(["url"]);
    expect(elements(text, "IsTruncated")).toEqual(["false"]);
    const plain = await list(type);
    expect(plain).toContain("<Key>z&lt;&amp;&gt;</Key>");
    expect(plain).toContain("<Key>x&#1;y</Key>");
    expect(elements(plain, "EncodingType")).toEqual([]);
  });

  it("has common prefixes in the place of keys", async () => {
    const text = await list({ ...type, delimiter: "/" });
    expect(elements(text, "Prefix").slice(1)).toEqual(["b/"]);
    expect(elements(text, "Key")).not.toContain("b/1");
    const below = await list({ ...type, delimiter: "/", prefix: "b/" });
    expect(elements(below, "Key")).toEqual(["b/1", "b/2"]);
    expect(elements(below, "Prefix")).toEqual(["b/", "b/c/"]);
  });

  it.each(["1", "2", "3", "1000", "5000"])(
    "comes in pages of %s, with nothing left away or twice",
    async (size) => {
      const found: string[] = [];
      let next: Record<string, string> = {};
      for (let page = 0; page < 20; page += 1) {
        const text = await list({
          ...type,
          delimiter: "/",
          "max-keys": size,
          "encoding-type": "url",
          ...next,
        });
        found.push(...elements(text, "Key"), ...elements(text, "Prefix").slice(1));
        if (elements(text, "IsTruncated")[0] === "false") break;
        const [marker = "", token = ""] = [
          elements(text, "NextMarker")[0],
          elements(text, "NextContinuationToken")[0],
        ];
        next = version === "1" ? { marker: decodeURIComponent(marker) } : { "continuation-token": token };
      }
      const wanted = new Set(SORTED.map((key) => (key.startsWith("b/") ? "b/" : key)));
      expect(found.map(decodeURIComponent).toSorted()).toEqual([...wanted].toSorted());
    },
  );

  it("of none is empty and whole", async () => {
    const text = await list({ ...type, "max-keys": "0" });
    expect([elements(text, "Key"), elements(text, "IsTruncated")]).toEqual([[], ["false"]]);
    expect(elements(await list({ ...type, prefix: "nothing" }), "Key")).toEqual([]);
  });

  it.each([{ "max-keys": "-1" }, { "max-keys": "many" }, { "encoding-type": "base64" }])(
    "is refused with %j",
    async (query) => {
      const { code } = await registry.send("GET", "/code", {
        query: { ...type, ...query },
      });
      expect(code).toBe("InvalidArgument");
    },
  );

  it("is refused of a bucket that is not there", async () => {
    expect((await registry.send("GET", "/not-there", { query: type })).code).toBe("NoSuchBucket");
  });
});

describe("a listing, version 2,", () => {
  it("begins after a key, and counts what it has", async () => {
    const text = await list({ "list-type": "2", "start-after": "b/2", "encoding-type": "url" });
    expect(elements(text, "Key").map(decodeURIComponent)).toEqual(SORTED.slice(SORTED.indexOf("b/2") + 1));
    expect(elements(text, "KeyCount")).toEqual([String(SORTED.length - SORTED.indexOf("b/2") - 1)]);
    expect(elements(text, "StartAfter")).toEqual(["b/2"]);
    expect(text).not.toContain("<Owner>");
    expect(await list({ "list-type": "2", "fetch-owner": "true" })).toContain("<Owner>");
  });

  it.each(["", "!!!", "=", "YQ=="])("is refused with the token %j, which is none of ours", async (token) => {
    const query = { "list-type": "2", "continuation-token": token };
    expect((await registry.send("GET", "/code", { query })).code).toBe("InvalidArgument");
  });
});

const xml = (keys: readonly string[], more = ""): string =>
  `<Delete>${more}${keys.map((key) => `<Object><Key>${key}</Key></Object>`).join("")}</Delete>`;
const remove = (body: string) => registry.send("POST", "/code", { query: { delete: "" }, body });

describe("many objects are deleted at once", () => {
  it("and each is answered for, those that were not there as well", async () => {
    for (const key of ["del/1", "del/2"]) await registry.send("PUT", `/code/${key}`, { body: "x" });
    const { status, text } = await remove(xml(["del/1", "del/2", "del/3"]));
    expect(status).toBe(200);
    expect(elements(text, "Key")).toEqual(["del/1", "del/2", "del/3"]);
    expect(elements(await list({ prefix: "del/" }), "Key")).toEqual([]);
  });

  it("and those that cannot be are named, also if the rest is not to be", async () => {
    await registry.send("PUT", "/code/del/4", { body: "x" });
    const body = `<Delete><Quiet>true</Quiet><Object><Key>del/4</Key><ETag>"other"</ETag></Object><Object><Key>del/5</Key></Object><Object><Key>del/6</Key><VersionId>7</VersionId></Object></Delete>`;
    const { text } = await remove(body);
    expect(elements(text, "Key")).toEqual(["del/4", "del/6"]);
    expect(elements(text, "Code")).toEqual(["PreconditionFailed", "NoSuchVersion"]);
    expect((await registry.send("GET", "/code/del/4")).text).toBe("x");
  });

  it.each([
    ["no document", ""],
    ["no object", "<Delete></Delete>"],
    ["an object without a key", "<Delete><Object></Object></Delete>"],
    ["1,001 objects", xml(Array.from({ length: 1001 }, (_, number) => `k${number}`))],
    ["a document type", `<!DOCTYPE a [<!ENTITY b "a">]>${xml(["&b;"])}`],
    ["something else", "<Other/>"],
  ])("but not with %s", async (_, body) => {
    expect((await remove(body)).code).toBe("MalformedXML");
  });

  it("but not if the document was changed on its way", async () => {
    const headers = { "content-md5": "AAAAAAAAAAAAAAAAAAAAAA==" };
    const { code } = await registry.send("POST", "/code", {
      query: { delete: "" },
      body: xml(["a"]),
      headers,
    });
    expect(code).toBe("BadDigest");
    const sum = { "x-amz-checksum-crc32": "AAAAAA==" };
    const other = await registry.send("POST", "/code", {
      query: { delete: "" },
      body: xml(["a"]),
      headers: sum,
    });
    expect(other.code).toBe("XAmzContentChecksumMismatch");
    expect((await registry.send("GET", "/code/a")).text).toBe("a");
  });
});
