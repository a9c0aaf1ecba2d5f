import type { TestRequest } from "./clients.ts";

/** One row of the worker's contract: a request and what has to come back. */
export interface HttpCase {
  readonly title: string;
  readonly request: TestRequest;
  readonly status: number;
  readonly body?: string | RegExp;
  readonly headers?: Readonly<Record<string, string | RegExp>>;
  /** Headers that must not be there. */
  readonly without?: readonly string[];
}

const JSON_REPLY = { "content-type": "application/json" };
const TEXT = { "content-type": "text/plain; charset=utf-8" };
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/u;
const TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const MIB = 1024 * 1024;

const post = (path: string, body: string | Buffer, more: Partial<TestRequest> = {}): TestRequest => ({
  method: "POST",
  path,
  body,
  ...more,
});

const get = (path: string): TestRequest => ({ method: "GET", path });

const results: readonly HttpCase[] = [
  {
    title: "the result of f is 200 and its JSON",
    request: post("/run/hello", '{"name": "Alice"}'),
    status: 200,
    body: '"Hello, Alice!"',
    headers: {
      ...JSON_REPLY,
      "x-ol-invocation-id": ULID,
      "x-ol-load": /^v=1;slots=\d+;busy=\d+;queue=\d+;mem=\d\.\d\d;drain=0$/u,
    },
    without: ["x-ol-not-started", "retry-after", "x-powered-by"],
  },
  {
    title: "/runLambda/ is the same",
    request: post("/runLambda/hello", '{"name": "Bob"}'),
    status: 200,
    body: '"Hello, Bob!"',
  },
  {
    title: "what follows the name does not matter to a function",
    request: post("/run/hello/more/path?query=1", "{}"),
    status: 200,
    body: '"Hello, stranger!"',
  },
  {
    title: "a name may hold dots, dashes and underscores",
    request: post("/run/dotted.name_1-x", "[1]"),
    status: 200,
    body: "[1]",
  },
  { title: "no body is the event {}", request: get("/run/echo"), status: 200, body: "{}" },
  { title: "an empty body is the event {}", request: post("/run/echo", ""), status: 200, body: "{}" },
  {
    title: "the content type of a request is not looked at",
    request: post("/run/echo", "[1,2]", { headers: { "content-type": "application/x-www-form-urlencoded" } }),
    status: 200,
    body: /^\[1,\s*2\]$/u,
  },
  {
    title: "a body in chunks is taken like any other",
    request: post("/run/echo", JSON.stringify("y".repeat(100_000)), { chunked: true }),
    status: 200,
    body: JSON.stringify("y".repeat(100_000)),
  },
  {
    title: "text outside ASCII passes both ways",
    request: post("/run/hello", '{"name": "Zoë 日本"}'),
    status: 200,
    body: /^"Hello, (Zoë 日本|Zo\\u00eb \\u65e5\\u672c)!"$/u,
  },
  {
    title: "a large result comes whole",
    request: post("/run/large", String(3 * MIB)),
    status: 200,
    body: /^"x{3145728}"$/u,
    headers: JSON_REPLY,
  },
  {
    title: "any method runs a lambda that names none",
    request: { method: "DELETE", path: "/run/echo" },
    status: 200,
    body: "{}",
  },
  {
    title: "HEAD runs it and has no body",
    request: { method: "HEAD", path: "/run/echo" },
    status: 200,
    body: "",
  },
];

const lambdaFaults: readonly HttpCase[] = [
  {
    title: "a body that is not JSON is 400",
    request: post("/run/echo", "{not json"),
    status: 400,
    headers: TEXT,
  },
  {
    title: "an exception is 500 with the traceback",
    request: post("/run/raise", "{}"),
    status: 500,
    body: /^Traceback \(most recent call last\):\n(.*\n)*ValueError: no such luck\n$/u,
    headers: TEXT,
  },
  {
    title: "a result that is not JSON-able is 500 and says so",
    request: post("/run/nan", "{}"),
    status: 500,
    body: /JSON/u,
    headers: TEXT,
  },
  {
    title: "a syntax error is 500 with Python's own words and line",
    request: post("/run/syntax", "{}"),
    status: 500,
    body: /line 2[^]*SyntaxError/u,
    headers: TEXT,
  },
  {
    title: "an import error is 500 with Python's own words",
    request: post("/run/import", "{}"),
    status: 500,
    body: /ModuleNotFoundError: No module named 'no_such_module'/u,
  },
  {
    title: "code without an entry point is 500 and says what was looked for",
    request: post("/run/noentry", "{}"),
    status: 500,
    body: /f\(event\)|handler/u,
  },
  {
    title: "a lambda sees its environment",
    request: post("/run/environment", "{}"),
    status: 200,
    body: "20",
  },
  {
    title: "a lambda that exits is 502, which says so",
    request: post("/run/exit", "{}"),
    status: 502,
    body: /exited with code 3/u,
    headers: TEXT,
    without: ["x-ol-not-started"],
  },
  {
    title: "a lambda that dies by a signal is 502, which says so",
    request: post("/run/killed", "{}"),
    status: 502,
    body: /ended by SIG/u,
  },
  {
    title: "a call over runtime_sec is 504",
    request: post("/run/endless", "{}"),
    status: 504,
    body: /1000 ms/u,
    headers: TEXT,
    without: ["x-ol-not-started"],
  },
];

const refusals: readonly HttpCase[] = [
  {
    title: "an unknown lambda is 404",
    request: post("/run/nobody", "{}"),
    status: 404,
    body: "there is no lambda nobody in the registry\n",
    headers: { ...TEXT, "x-ol-invocation-id": ULID },
  },
  { title: "an unknown tag is 404", request: post("/run/hello@v1", "{}"), status: 404, body: /hello@v1/u },
  {
    title: "a name with ../ is 400",
    request: get("/run/../config/cluster.json"),
    status: 400,
    headers: TEXT,
  },
  { title: "a name with %2e%2e%2f is 400", request: get("/run/%2e%2e%2fconfig"), status: 400 },
  { title: "a name with a bad escape is 400", request: get("/run/%ff%zz"), status: 400 },
  { title: "a name that begins with a dash is 400", request: get("/run/-x"), status: 400 },
  { title: "a name that ends in .tar.gz is 400", request: get("/run/x.tar.gz"), status: 400 },
  { title: "a name of 129 characters is 400", request: get(`/run/${"a".repeat(129)}`), status: 400 },
  { title: "no name is 400", request: get("/run/"), status: 400 },
  {
    title: "a method that ol.yaml does not name is 405 with Allow",
    request: { method: "PUT", path: "/run/methods", body: "{}" },
    status: 405,
    headers: { ...TEXT, allow: "GET, POST" },
  },
  {
    title: "a method that it names is let through",
    request: post("/run/methods", "[]"),
    status: 200,
    body: "[]",
  },
  {
    title: "a body over the limit is 413",
    request: post("/run/small", JSON.stringify("x".repeat(MIB))),
    status: 413,
    body: /1048576 bytes/u,
    headers: TEXT,
  },
  {
    title: "a chunked body over the limit is 413",
    request: post("/run/small", JSON.stringify("x".repeat(MIB)), { chunked: true }),
    status: 413,
  },
  {
    title: "a body of exactly the limit is taken",
    request: post("/run/small", JSON.stringify("x".repeat(MIB - 2))),
    status: 200,
    body: String(MIB - 2),
  },
  {
    title: "Prefer: respond-async is 501",
    request: post("/run/hello", "{}", { headers: { prefer: "wait=5, respond-async" } }),
    status: 501,
    headers: TEXT,
  },
];

const headerCases: readonly HttpCase[] = [
  {
    title: "a client's traceparent and Idempotency-Key reach the lambda",
    request: post("/run/context", "{}", { headers: { traceparent: TRACE, "idempotency-key": "k1" } }),
    status: 200,
    body: new RegExp(`"trace":\\s*"${TRACE}".*"idempotency-key":\\s*"k1"`, "u"),
  },
  {
    title: "a traceparent is made when there is none",
    request: post("/run/context", "{}"),
    status: 200,
    body: /"trace":\s*"00-[0-9a-f]{32}-[0-9a-f]{16}-00"/u,
  },
  {
    title: "a traceparent that is none is replaced",
    request: post("/run/context", "{}", { headers: { traceparent: "oops" } }),
    status: 200,
    body: /"trace":\s*"00-[0-9a-f]{32}-[0-9a-f]{16}-00"/u,
  },
  {
    title: "a client's X-OL headers are dropped",
    request: post("/run/context", "{}", {
      headers: { "X-OL-Invocation-Id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "x-ol-anything": "spoofed" },
    }),
    status: 200,
    body: /^(?![^]*(x-ol-|spoofed|01ARZ3NDEKTSV4RRFFQ69G5FAV))/u,
  },
];

const pages: readonly HttpCase[] = [
  {
    title: "/status is ready",
    request: get("/status"),
    status: 200,
    body: "ready",
    headers: { ...TEXT, "x-ol-load": /^v=1;/u },
    without: ["x-powered-by"],
  },
  { title: "/stats is JSON", request: get("/stats"), status: 200, body: /"sandboxes":\[/u },
  { title: "/state is JSON", request: get("/state"), status: 200, body: /"load":\{"slots":\d/u },
  { title: "/debug is JSON", request: get("/debug"), status: 200, body: /"uptimeSec":/u },
  {
    title: "/metrics is for Prometheus",
    request: get("/metrics"),
    status: 200,
    body: /^ol_worker_calls_total\{outcome="answered"\} \d+$/mu,
    headers: { "content-type": /^text\/plain; version=0\.0\.4/u },
  },
  {
    title: "a page takes only GET",
    request: post("/status", "{}"),
    status: 405,
    headers: { allow: "GET, HEAD" },
  },
  { title: "/_ol/ is reserved", request: get("/_ol/anything"), status: 404, body: /reserved/u },
  { title: "any other path is 404", request: get("/runny/hello"), status: 404, headers: TEXT },
  { title: "the root is 404", request: get("/"), status: 404 },
];

/** Every row of contract.md section 6 that one request shows. */
export const HTTP_CASES: readonly HttpCase[] = [
  ...results,
  ...lambdaFaults,
  ...refusals,
  ...headerCases,
  ...pages,
];
