import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
import { Agent, request } from "node:http";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { SLOWNESS, scaled } from "../../packages/sandbox/test/support/scale.ts";
import {
  EXAMPLES,
  ExampleCluster,
  type JsonReply,
  type Outcome,
  cookiesOf,
} from "./support/example-cluster.ts";

// The examples of the quickstart with real packages, from whatever index the machine's pip or uv knows. All tests share a
// cluster, so that each package is installed once.

const NAMES = readdirSync(EXAMPLES, { withFileTypes: true }).flatMap((entry) =>
  entry.isDirectory() ? entry.name : [],
);
const INSTALL_MS = 600_000 * SLOWNESS;
const PYTHON = execFileSync("python3", ["-c", "import sys; print('%d.%02d' % sys.version_info[:2])"], {
  encoding: "utf8",
}).trim();

/** Versions of numpy of which this Python has wheels. */
const NUMPYS = PYTHON >= "3.10" && PYTHON <= "3.13" ? [["2.1", "2.2"]] : [];
/** The beginning of numpy's version, and the packages. They are large: only in a soak. */
const PANDAS = [
  ...(PYTHON >= "3.09" ? [["2", "pandas==2.*"]] : []),
  ...(PYTHON >= "3.09" && PYTHON <= "3.12" ? [["1.26", "pandas==2.2.*", "numpy==1.26.*"]] : []),
].slice(0, scaled(0, 2)) as [string, ...string[]][];

/** How the reply of each example begins. */
const REPLIES: Readonly<Record<string, RegExp>> = {
  django: /^\{"days": 29\}/u,
  fastapi: /^\{"item":3,"count":2,"total":14\.5\}/u,
  flask: /^\{"hello":"Alice","self":"\/run\/flask\/hello\/Alice"\}/u,
  matplotlib: /^\.PNG/u,
  numpy: /^\{"x":\[2\.0,3\.0\]/u,
  pandas: /^city,amount/u,
  pillow: /JF/u,
  pychat: /^\{"messages": \[\{"ts": "\d+-\d+", "user": "", "text": "The chat begins\."\}/u,
  requests: /^\{"status":200,"type":"text\/plain; charset=utf-8","text":"ready"\}/u,
  "scikit-learn": /^\[\{"species":"setosa".*"virginica"/u,
};

let cluster: ExampleCluster;
let outcome: Outcome;

beforeAll(async () => {
  cluster = new ExampleCluster();
  outcome = await cluster.quickstart();
  if (outcome.code !== 0) throw new Error(outcome.text);
  await cluster.start();
}, INSTALL_MS);
afterAll(() => cluster.close());

/** Processes that work in `directory`. */
const processesIn = (directory: string): string[] =>
  readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/u.test(pid) && readlinkSync(`/proc/${pid}/cwd`).startsWith(directory);
    } catch {
      // Gone by now.
      return false;
    }
  });

const get = (target: string, init?: RequestInit): Promise<Response> => cluster.get(target, init);
const post = (target: string, value: unknown): Promise<JsonReply> => cluster.post(target, value);

const photo = readFileSync(path.join(EXAMPLES, "pillow/photo.jpg"));
const upload = (target: string, body: Buffer | string): Promise<Response> =>
  get(target, { method: "POST", body });

/** What the pandas example makes of a table. */
const sums = async (query: string, csv: string): Promise<[number, string]> => {
  const reply = await upload(`/run/pandas${query}`, csv);
  return [reply.status, await reply.text()];
};

/** The Django example's form, with the token that it has to be sent back with. */
const openForm = async (): Promise<{ cookie: string; token: string }> => {
  const page = await get("/run/django/");
  const token = /csrfmiddlewaretoken" value="(?<token>[^"]+)"/u.exec(await page.text())?.groups?.["token"];
  return { cookie: cookiesOf(page), token: token ?? "" };
};

const sendForm = (token: string, name: string, cookie: string): Promise<Response> => {
  const body = new URLSearchParams({ csrfmiddlewaretoken: token, name });
  return get("/run/django/", { method: "POST", body, headers: { cookie }, redirect: "manual" });
};

describe("the quickstart's command", () => {
  it("runs every example twice, and says how long each took", () => {
    const table = new Map(
      [...outcome.text.matchAll(/^(?<name>[\w-]+) +(?<first>\d+) ms +(?<second>\d+) ms$/gmu)].map(
        ({ groups }) => [
          groups?.["name"] ?? "",
          { first: Number(groups?.["first"]), second: Number(groups?.["second"]) },
        ],
      ),
    );
    expect([...table.keys()].sort()).toEqual(NAMES.sort());
    const sum = (which: "first" | "second"): number =>
      [...table.values()].reduce((total, times) => total + times[which], 0);
    expect(sum("second")).toBeLessThan(sum("first") / 3);
  });

  it.each(NAMES)("shows the two replies of %s", (name) => {
    const section = outcome.text.split(`==> ${name}\n`)[1]?.split("==>")[0] ?? "";
    const replies = section.split("\n").filter((line) => line.endsWith(" bytes)"));
    expect(replies).toHaveLength(2);
    for (const reply of replies) expect(reply.trim()).toMatch(REPLIES[name] ?? /^$/u);
  });

  it("stops everything: worker, sandboxes, and what an application's setup.sh started", () => {
    expect(outcome.text).toMatch(/Stopping everything[^]*pychat: what its setup\.sh started is stopped/u);
    const state = path.join(cluster.directory, "apps/pychat");
    expect(processesIn(state)).toEqual([]);
    expect(JSON.parse(readFileSync(path.join(state, "app.json"), "utf8"))).toMatchObject({ services: [] });
  });
});

describe("the original's lambdas with packages", () => {
  it("import requests, and simplejson besides", { timeout: INSTALL_MS }, async () => {
    cluster.add("one", ["requests"], 'import requests\n\ndef f(event):\n    return "imported"\n');
    cluster.add(
      "two",
      ["requests", "simplejson"],
      'import requests, simplejson\n\ndef f(event):\n    return "imported"\n',
    );
    expect([await cluster.result("one"), await cluster.result("two")]).toEqual(["imported", "imported"]);
    const [python = ""] = readdirSync(path.join(cluster.directory, "packages"));
    const installed = readdirSync(path.join(cluster.directory, "packages", python));
    expect(installed.filter((name) => /^(requests|idna)-/u.test(name))).toHaveLength(2);
  });

  it.each(NUMPYS)("have numpy %s and %s side by side", { timeout: INSTALL_MS }, async (...versions) => {
    const code =
      "import numpy\n\ndef f(event):\n    return [numpy.__version__, int(numpy.arange(event['n']).sum())]\n";
    for (const version of versions) cluster.add(`numpy-${version}`, [`numpy==${version}.*`], code);
    const results = await Promise.all(
      versions.map((version) => cluster.result(`numpy-${version}`, { n: 101 })),
    );
    expect(results).toEqual(
      versions.map((version) => [expect.stringMatching(new RegExp(`^${version}\\.`, "u")), 5050]),
    );
  });

  it.each(PANDAS)("have pandas beside numpy %s", { timeout: INSTALL_MS }, async (numpy, ...packages) => {
    const code =
      "import numpy, pandas\n\ndef f(event):\n    column = pandas.DataFrame({'a': event})['a']\n    return [numpy.__version__, pandas.__version__, int(column.sum())]\n";
    cluster.add(`pandas-${numpy}`, packages, code, 250);
    expect(await cluster.result(`pandas-${numpy}`, [1, 2, 3, 4])).toEqual([
      expect.stringMatching(new RegExp(`^${numpy}\\.`, "u")),
      expect.stringMatching(/^2\./u),
      10,
    ]);
  });
});

describe("the Pillow example", () => {
  it("makes a thumbnail of the size that was asked for", async () => {
    const reply = await upload("/run/pillow?size=64", photo);
    expect([reply.status, reply.headers.get("content-type")]).toEqual([200, "image/jpeg"]);
    const small = Buffer.from(await reply.arrayBuffer());
    // The frame header of a JPEG: marker, length, precision, height, width.
    const frame = small.indexOf(Buffer.from([0xff, 0xc0]));
    expect([small.readUInt16BE(frame + 7), small.readUInt16BE(frame + 5)]).toEqual([64, 48]);
  });

  it("refuses what is no image, and a size that is none", async () => {
    expect((await upload("/run/pillow", Buffer.from("no image"))).status).toBe(400);
    expect((await upload("/run/pillow", photo.subarray(0, 2_000))).status).toBe(400);
    expect((await upload("/run/pillow?size=0", photo)).status).toBe(400);
  });
});

describe("the pandas example", () => {
  it("says what is wrong with a table or a question", async () => {
    expect(await sums("?by=a&sum=b", "a,b\nx,1\ny,2\nx,3\n")).toEqual([200, "a,b\nx,4\ny,2\n"]);
    expect(await sums("?by=a&sum=c", "a,b\nx,1\n")).toEqual([
      400,
      expect.stringContaining("there is no 'c'") as string,
    ]);
    expect((await sums("", "a,b\n"))[0]).toBe(400);
    expect((await sums("?by=a&sum=b", ""))[0]).toBe(400);
    expect((await sums("?by=a&sum=b", "a,b\nx,many\n"))[0]).toBe(400);
  });
});

describe("the Flask example", () => {
  it("answers with a status, a field and a body of its own", async () => {
    const reply = await get("/run/flask");
    expect([reply.status, reply.headers.get("A"), await reply.text()]).toEqual([418, "B", "hi\n"]);
  });

  it("routes odd paths as Flask does", async () => {
    const reply = await get("/run/flask/hello/J%C3%BCrgen%20%26%20co");
    expect(await reply.json()).toEqual({
      hello: "Jürgen & co",
      self: "/run/flask/hello/J%C3%BCrgen%20&%20co",
    });
    expect((await get("/run/flask/hello/a%2Fb")).status).toBe(404);
    expect((await get("/run/flask/hello")).status).toBe(404);
    expect((await get("/run/flask/hello/x", { method: "PUT" })).status).toBe(405);
    const merged = await get("/run/flask/hello//x", { redirect: "manual" });
    expect([merged.status, merged.headers.get("location")]).toEqual([
      308,
      expect.stringMatching(/\/run\/flask\/hello\/x$/u),
    ]);
  });

  it("serves many requests over one connection", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const once = (): Promise<boolean> =>
      new Promise((resolve, reject) => {
        const sent = request(`${cluster.url}/run/flask/hello/x`, { agent }, (reply) => {
          reply.on("end", () => resolve(sent.reusedSocket)).resume();
        });
        sent.on("error", reject).end();
      });
    const reused: boolean[] = [];
    for (let at = 0; at < 50; at += 1) reused.push(await once());
    agent.destroy();
    expect(reused).toEqual([false, ...Array.from({ length: 49 }, () => true)]);
  });

  it("takes an upload that is larger than its memory", async () => {
    const piece = Buffer.alloc(1 << 20, "upload");
    const count = 100;
    const sha256 = createHash("sha256");
    for (let at = 0; at < count; at += 1) sha256.update(piece);
    const body = ReadableStream.from(Array.from({ length: count }, () => piece));
    const reply = await get("/run/flask/digest", { method: "POST", body, duplex: "half" });
    expect(await reply.json()).toEqual({ bytes: count << 20, sha256: sha256.digest("hex") });
  });

  it("sends a reply bit by bit", async () => {
    const { text, timesMs } = await cluster.arrivals("/run/flask/count/5");
    expect(text).toBe("1\n2\n3\n4\n5\n");
    // Four pauses of 100 ms lie between the first and the last.
    expect((timesMs.at(-1) ?? 0) - (timesMs[0] ?? 0)).toBeGreaterThan(250);
  });

  it("counts visits in a cookie", async () => {
    let cookie = "";
    const visits: unknown[] = [];
    for (let at = 0; at < 3; at += 1) {
      const reply = await get("/run/flask/visits", { headers: { cookie } });
      cookie = cookiesOf(reply);
      visits.push(await reply.json());
    }
    expect(visits).toEqual([{ visit: 1 }, { visit: 2 }, { visit: 3 }]);
  });
});

describe("the FastAPI example", () => {
  it("checks paths, queries and bodies", async () => {
    expect(await (await get("/run/fastapi/items/3?detail=true")).json()).toEqual({
      item: 3,
      price: 7.25,
      currency: "USD",
    });
    expect((await get("/run/fastapi/items/9")).status).toBe(404);
    expect(await post("/run/fastapi/orders", { item: 2, count: 3 })).toEqual({
      status: 201,
      json: { item: 2, count: 3, total: 30 },
    });
    const refused = await post("/run/fastapi/orders", { item: 2, count: 0 });
    expect(refused).toMatchObject({ status: 422, json: { detail: [{ loc: ["body", "count"] }] } });
    expect((await get("/run/fastapi/items/x")).status).toBe(422);
  });

  it("sends events one by one, to many at once from one sandbox", async () => {
    const began = performance.now();
    const clients = 15;
    const all = await Promise.all(
      Array.from({ length: clients }, () => cluster.arrivals("/run/fastapi/ticks?count=10")),
    );
    for (const { text, timesMs } of all) {
      expect(text).toBe(Array.from({ length: 10 }, (_, at) => `data: ${at}\n\n`).join(""));
      expect((timesMs.at(-1) ?? 0) - (timesMs[0] ?? 0)).toBeGreaterThan(500);
    }
    // One after the other they would take a second each.
    expect(performance.now() - began).toBeLessThan(clients * 1_000);
  });

  it("has a page that documents it, below its mount", async () => {
    const page = await get("/run/fastapi/docs");
    expect(page.headers.get("content-type")).toMatch(/^text\/html/u);
    expect(await page.text()).toContain("'/run/fastapi/openapi.json'");
    const description = (await (await get("/run/fastapi/openapi.json")).json()) as Record<string, object>;
    expect(Object.keys(description["paths"] ?? {}).sort()).toEqual(["/items/{item}", "/orders", "/ticks"]);
    expect(description["servers"]).toEqual([{ url: "/run/fastapi" }]);
  });
});

describe("the Django example", () => {
  it("takes a form from whoever has its token and its cookie, and nobody else", async () => {
    const { cookie, token } = await openForm();
    expect((await sendForm(token, "Zoë", "")).status).toBe(403);
    expect((await sendForm("x".repeat(64), "Zoë", cookie)).status).toBe(403);
    expect((await sendForm(token, "", cookie)).status).toBe(400);
    const reply = await sendForm(token, "Zoë <b>", cookie);
    expect([reply.status, reply.headers.get("location")]).toEqual([302, "/run/django/"]);
    const signed = cookiesOf(reply);
    const greeted = await get("/run/django/", { headers: { cookie: signed } });
    expect(await greeted.text()).toContain("<h1>Hello, Zoë &lt;b&gt;!</h1>");
    const forged = await get("/run/django/", { headers: { cookie: signed.replace("Zo", "Jo") } });
    expect(await forged.text()).toContain("<h1>Who are you?</h1>");
  });

  it("has a view that answers with JSON", async () => {
    expect(await (await get("/run/django/days?from=2024-02-01&to=2024-03-01")).json()).toEqual({ days: 29 });
    const wrong = await get("/run/django/days?from=yesterday&to=2024-03-01");
    expect([wrong.status, await wrong.json()]).toEqual([400, { errors: { from: ["Enter a valid date."] } }]);
    expect((await get("/run/django/days", { method: "DELETE" })).status).toBe(403);
    expect((await get("/run/django/nothing")).status).toBe(404);
  });
});
