import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { Authenticator, type Authenticated, type KeyPair } from "../../src/protocol/authenticator.ts";
import { RequestFields } from "../../src/protocol/request-fields.ts";
import { readTarget } from "../../src/protocol/request-target.ts";
import { isS3Error } from "../../src/s3-error.ts";
import { awsSign, HOST, type PlainRequest, type Signer, type WireRequest } from "../support/aws-signer.ts";
import { runs, SEED } from "../support/seed.ts";

const PAIR: KeyPair = {
  accessKey: "AKIDEXAMPLE",
  secretKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
  role: "upload",
};
const OTHER: KeyPair = { accessKey: "other/key", secretKey: "another secret key", role: "read" };
const REGION = "us-east-1";
const AT = new Date("2026-11-29T09:30:42Z");
const SIGNER: Signer = { ...PAIR, region: REGION, at: AT };

/** When the server looks at the clock. */
const server = (nowMs: number = AT.getTime()): Authenticator =>
  new Authenticator([PAIR, OTHER], REGION, () => nowMs);

const authenticate = ({ method, url, rawHeaders }: WireRequest, authenticator = server()): Authenticated =>
  authenticator.authenticate({ method, target: readTarget(url), fields: new RequestFields(rawHeaders) });

/** The code with which a request is refused. */
const refusal = (request: WireRequest, authenticator = server()): string => {
  try {
    authenticate(request, authenticator);
  } catch (error) {
    if (isS3Error(error)) return error.code;
    throw error;
  }
  return "accepted";
};

const text = fc.string({ unit: "grapheme", maxLength: 12 });
const word = fc.string({
  unit: fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz0123456789-".split("")),
  minLength: 1,
  maxLength: 10,
});
/** What a header field can carry, also at its ends and in several spaces in a row. */
const value = fc.string({
  unit: fc.constantFrom(..."abc XYZ,;=/\"'".split("")),
  minLength: 1,
  maxLength: 20,
});

const plainRequest: fc.Arbitrary<PlainRequest> = fc.record(
  {
    method: fc.constantFrom("GET", "PUT", "DELETE", "POST", "HEAD"),
    path: fc.array(text, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join("/")}`),
    query: fc.dictionary(
      text.filter((name) => !/^x-amz-/iu.test(name) && name !== "__proto__" && name !== "Signature"),
      text,
      { maxKeys: 4 },
    ),
    headers: fc
      .tuple(
        fc.dictionary(
          word.map((name) => `x-amz-meta-${name}`),
          value,
          { maxKeys: 3 },
        ),
        fc.constantFrom("UNSIGNED-PAYLOAD", "a".repeat(64), "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
      )
      .map(([meta, hash]) => ({ ...meta, "x-amz-content-sha256": hash, "content-type": "text/plain" })),
    presignedFor: fc.integer({ min: 1, max: 604_800 }),
  },
  { requiredKeys: ["method", "path", "query", "headers"] },
);

/** Ways to forge a request. Each changes what it means, or what it proves. */
const FORGERIES: Readonly<Record<string, (wire: WireRequest) => WireRequest | undefined>> = {
  "another method": (wire) => ({ ...wire, method: wire.method === "PUT" ? "DELETE" : "PUT" }),
  "another object": (wire) => ({ ...wire, url: wire.url.replace(/^(?<path>[^?]*)/u, "$<path>x") }),
  "another bucket": (wire) => ({ ...wire, url: `/b${wire.url.slice(1)}` }),
  "one more parameter": (wire) => ({
    ...wire,
    url: `${wire.url}${wire.url.includes("?") ? "&" : "?"}delete`,
  }),
  "one parameter less": (wire) => {
    const [path, query] = wire.url.split("?");
    return query === undefined
      ? undefined
      : { ...wire, url: `${path}?${query.split("&").slice(1).join("&")}` };
  },
  "a parameter's value": (wire) =>
    wire.url.includes("=") ? { ...wire, url: wire.url.replace("=", "=x") } : undefined,
  "a digit of the signature": (wire) =>
    changeText(wire, /(?<=Signature=)[0-9a-f]/u, (digit) => (digit === "0" ? "1" : "0")),
  "a signature cut short": (wire) => changeText(wire, /(?<=Signature=[0-9a-f]{63})[0-9a-f]/u, () => ""),
  "another access key": (wire) =>
    changeText(wire, /AKIDEXAMPLE/u, () =>
      "other%2Fkey".replace("%2F", wire.url.includes("AKID") ? "%2F" : "/"),
    ),
  "an unknown access key": (wire) => changeText(wire, /AKIDEXAMPLE/u, () => "AKIDEXAMPLF"),
  "another day in the scope": (wire) => changeText(wire, /20261129(?=\/|%2F)/u, () => "20261128"),
  "another region in the scope": (wire) => changeText(wire, /us-east-1/u, () => "eu-west-1"),
  "another time": (wire) =>
    changeText(
      withField(wire, "x-amz-date", (at) => at.replace("093042", "093043")),
      /(?<=X-Amz-Date=20261129T0930)42/u,
      () => "43",
    ),
  "a longer life": (wire) => changeText(wire, /(?<=X-Amz-Expires=)\d/u, (digit) => `${digit}0`),
  "another hash of the content": (wire) =>
    changeText(
      withField(wire, "x-amz-content-sha256", () => "b".repeat(64)),
      /(?<=X-Amz-Content-Sha256=)[^&]*/iu,
      () => "b".repeat(64),
    ),
  "another host": (wire) => withField(wire, "host", () => "elsewhere.example"),
  "one more field of S3's": (wire) => ({ ...wire, rawHeaders: [...wire.rawHeaders, "X-Amz-Acl", "private"] }),
  "a field twice": (wire) => {
    const at = wire.rawHeaders.findIndex((name, place) => place % 2 === 0 && name.startsWith("x-amz-meta-"));
    return at < 0
      ? undefined
      : { ...wire, rawHeaders: [...wire.rawHeaders, wire.rawHeaders[at] as string, "more"] };
  },
  "a signed name left away": (wire) => changeText(wire, /(?<=SignedHeaders=)[a-z0-9-]+(?:;|%3B)/u, () => ""),
  "the host not signed": (wire) => changeText(wire, /(?<=SignedHeaders=[^,&]*)host/u, () => "hosu"),
};

/** Changes the Authorization field and the query. */
const changeText = (wire: WireRequest, what: RegExp, by: (found: string) => string): WireRequest => {
  const changed = withField(wire, "authorization", (old) => old.replace(what, by));
  return { ...changed, url: changed.url.replace(what, by) };
};

const withField = (wire: WireRequest, field: string, by: (old: string) => string): WireRequest => ({
  ...wire,
  rawHeaders: wire.rawHeaders.map((text_, at) =>
    at % 2 === 1 && wire.rawHeaders[at - 1] === field ? by(text_) : text_,
  ),
});

const same = (a: WireRequest, b: WireRequest): boolean => JSON.stringify(a) === JSON.stringify(b);

describe("requests signed by AWS's own library", () => {
  it("are accepted, and each forgery of them is refused", async () => {
    let forged = 0;
    const property = fc.asyncProperty(
      plainRequest,
      fc.uniqueArray(fc.constantFrom(...Object.keys(FORGERIES)), { minLength: 6, maxLength: 6 }),
      async (plain, ways) => {
        const wire = await awsSign(plain, SIGNER);
        expect(authenticate(wire).role).toBe("upload");
        for (const way of ways) {
          const forgery = FORGERIES[way]?.(wire);
          if (forgery === undefined || same(forgery, wire)) continue;
          forged += 1;
          expect(refusal(forgery), `${way}: ${JSON.stringify(forgery)}`).not.toBe("accepted");
        }
      },
    );
    await fc.assert(property, { numRuns: runs(4_000), seed: SEED });
    expect(forged).toBeGreaterThanOrEqual(runs(16_000));
  }, 600_000);

  it("are refused for another secret key, whichever pair they name", async () => {
    const plain: PlainRequest = { method: "GET", path: "/bucket/key", query: {}, headers: {} };
    for (const secretKey of [OTHER.secretKey, "", `${PAIR.secretKey}x`]) {
      expect(refusal(await awsSign(plain, { ...SIGNER, secretKey }))).toBe("SignatureDoesNotMatch");
      expect(refusal(await awsSign({ ...plain, presignedFor: 60 }, { ...SIGNER, secretKey }))).toBe(
        "SignatureDoesNotMatch",
      );
    }
  });

  it("are good for 15 minutes around their time", async () => {
    const wire = await awsSign({ method: "GET", path: "/b/k", query: {}, headers: {} }, SIGNER);
    const at = AT.getTime();
    expect(refusal(wire, server(at + 900_000))).toBe("accepted");
    expect(refusal(wire, server(at + 900_001))).toBe("RequestTimeTooSkewed");
    expect(refusal(wire, server(at - 900_000))).toBe("accepted");
    expect(refusal(wire, server(at - 900_001))).toBe("RequestTimeTooSkewed");
  });

  it("are, presigned, good until they expire", async () => {
    const headers = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" };
    const wire = await awsSign(
      { method: "GET", path: "/b/k", query: {}, headers, presignedFor: 604_800 },
      SIGNER,
    );
    const at = AT.getTime();
    expect(refusal(wire, server(at + 604_800_000))).toBe("accepted");
    expect(refusal(wire, server(at + 604_800_001))).toBe("AccessDenied");
    expect(refusal(wire, server(at - 900_001))).toBe("AccessDenied");
  });

  it("say which of several key pairs they are from", async () => {
    const plain: PlainRequest = { method: "GET", path: "/b/k", query: {}, headers: {} };
    expect(authenticate(await awsSign(plain, { ...OTHER, region: REGION, at: AT })).role).toBe("read");
    expect(authenticate(await awsSign(plain, SIGNER)).role).toBe("upload");
  });
});

const lifetime = (seconds: string): string =>
  `/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261129%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261129T093042Z&X-Amz-SignedHeaders=host&X-Amz-Signature=${"0".repeat(64)}${seconds}`;

describe("a presigned request", () => {
  it.each([
    "",
    "&X-Amz-Expires=0",
    "&X-Amz-Expires=604801",
    "&X-Amz-Expires=-1",
    "&X-Amz-Expires=1e3",
    "&X-Amz-Expires=60&X-Amz-Expires=60",
  ])("lives between a second and a week: %s is refused", (seconds) => {
    const request = { method: "GET", url: lifetime(seconds), rawHeaders: ["host", HOST] };
    expect(refusal(request)).toBe("AuthorizationQueryParametersError");
  });
});

describe("an Authorization field", () => {
  const NOW = "20261129T093042Z";
  const refusalOf = (authorization: string, more: readonly string[] = ["x-amz-date", NOW]): string =>
    refusal({
      method: "GET",
      url: "/b/k",
      rawHeaders: ["host", HOST, "authorization", authorization, ...more],
    });
  const scope = "AKIDEXAMPLE/20261129/us-east-1/s3/aws4_request";
  const signature = `Signature=${"0".repeat(64)}`;

  it.each([
    ["Basic dXNlcjpwYXNz", "UnsupportedSignature"],
    ["AWS AKIDEXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=", "UnsupportedSignature"],
    ["AWS4-HMAC-SHA256", "UnsupportedSignature"],
    ["AWS4-HMAC-SHA256 ", "AuthorizationHeaderMalformed"],
    [`AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host`, "AuthorizationHeaderMalformed"],
    [
      `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=Host, ${signature}`,
      "AuthorizationHeaderMalformed",
    ],
    [
      `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host;host, ${signature}`,
      "AuthorizationHeaderMalformed",
    ],
    [`AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=, ${signature}`, "AuthorizationHeaderMalformed"],
    [
      `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, ${signature}, ${signature}`,
      "AuthorizationHeaderMalformed",
    ],
    [
      `AWS4-HMAC-SHA256 Credential=20261129/us-east-1/s3/aws4_request, SignedHeaders=host, ${signature}`,
      "AuthorizationHeaderMalformed",
    ],
    [
      `AWS4-HMAC-SHA256 Credential=${scope.replace("s3", "ec2")}, SignedHeaders=host, ${signature}`,
      "AuthorizationHeaderMalformed",
    ],
    [
      `AWS4-HMAC-SHA256 Credential=${scope.replace("aws4_request", "aws5_request")}, SignedHeaders=host, ${signature}`,
      "AuthorizationHeaderMalformed",
    ],
    [
      `AWS4-HMAC-SHA256 Credential=${scope.replace("us-east-1", "eu-west-1")}, SignedHeaders=host, ${signature}`,
      "AuthorizationHeaderMalformed",
    ],
    [
      `AWS4-HMAC-SHA256 Credential=${scope.replace("29", "28")}, SignedHeaders=host, ${signature}`,
      "AuthorizationHeaderMalformed",
    ],
  ])("is refused if it is %s", (authorization, code) => {
    expect(refusalOf(authorization)).toBe(code);
  });

  it("is refused without a date, with a date that is none, and beside a presigned query", () => {
    const authorization = `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, ${signature}`;
    expect(refusalOf(authorization, [])).toBe("MissingSecurityHeader");
    expect(refusalOf(authorization, ["x-amz-date", "20261399T093042Z"])).toBe("AuthorizationHeaderMalformed");
    const url = `/b/k?X-Amz-Signature=${"0".repeat(64)}`;
    expect(refusal({ method: "GET", url, rawHeaders: ["host", HOST, "authorization", authorization] })).toBe(
      "InvalidRequest",
    );
  });

  it("is missing: the request is anonymous and may nothing", () => {
    expect(refusal({ method: "GET", url: "/b/k", rawHeaders: ["host", HOST] })).toBe("AccessDenied");
  });
});
