/** What an app is asked to reply; see `say` in support/apps. */
export interface Wish {
  readonly status?: number;
  readonly headers?: readonly (readonly [string, string])[];
  readonly pieces?: readonly string[];
  /** Piece by piece. */
  readonly stream?: boolean;
  readonly before?: "raise" | "exit" | "crash";
  readonly after?: "raise" | "exit" | "crash";
}

/** A reply that an app should not give, and what its client gets. */
export interface NastyReply {
  readonly what: string;
  readonly wish: Wish;
  readonly method?: "HEAD";
  /** 0: the connection ends in the middle of the reply. */
  readonly status: number;
  readonly text?: string | RegExp;
  /** Fields as the client has them; undefined for those that must not be there. */
  readonly headers?: Readonly<Record<string, string | RegExp | undefined>>;
  /** The sandbox ends, and every call in it. */
  readonly ends?: boolean;
}

const body = ["some", "thing"];
const whole = "something";
const LOAD = /^v=1;slots=\d+;busy=\d+;queue=\d+;mem=\d\.\d\d;drain=0$/u;

const statuses: readonly NastyReply[] = [101, 103, 199, 600, 999].map((status) => ({
  what: `status ${status}`,
  wish: { status, pieces: body },
  status: 500,
  text: /200 to 599/u,
}));

const field = (what: string, name: string, value: string): NastyReply => ({
  what,
  wish: { headers: [[name, value]], pieces: body },
  status: 500,
  headers: { "x-forged": undefined },
});

const fields: readonly NastyReply[] = [
  field("a line break in a field's value", "X-Odd", "a\r\nX-Forged: b"),
  field("a line feed in a field's value", "X-Odd", "a\nX-Forged: b"),
  field("a carriage return in a field's value", "X-Odd", "a\rX-Forged: b"),
  field("a NUL in a field's value", "X-Odd", "a\0b"),
  field("an escape in a field's value", "X-Odd", "a\x1bb"),
  field("a line break in a field's name", "X-Odd\r\nX-Forged", "a"),
  field("a NUL in a field's name", "X-Odd\0", "a"),
  field("a colon in a field's name", ":status", "201"),
  field("a space in a field's name", "X Odd", "a"),
  field("a field without a name", "", "a"),
  {
    what: "300 fields",
    wish: { headers: Array.from({ length: 300 }, (_, at) => [`x-${at}`, "1"] as const), pieces: body },
    status: 500,
  },
];

const length = (what: string, ...values: readonly string[]): NastyReply => ({
  what: `a Content-Length ${what}`,
  wish: { headers: values.map((value) => ["Content-Length", value] as const), pieces: body },
  status: 500,
});

const streamedLength = (what: string, value: string): NastyReply => ({
  what: `a Content-Length ${what}, piece by piece`,
  wish: { headers: [["Content-Length", value]], pieces: body, stream: true },
  status: 0,
});

const lengths: readonly NastyReply[] = [
  length("too small", "3"),
  length("of nothing", "0"),
  length("too large", "300"),
  length("that is negative", "-9"),
  length("with a sign", "+9"),
  length("that is no number", "nine"),
  length("that is empty", ""),
  length("in hexadecimal", "0x9"),
  length("that is a list", "9, 9"),
  length("twice, with two values", "9", "10"),
  length("of more than there is", "99999999999999999999"),
  {
    ...length("twice, with one value", "9", "9"),
    status: 200,
    text: whole,
    headers: { "content-length": "9" },
  },
  streamedLength("too small", "5"),
  streamedLength("too large", "300"),
];

const dropped = (name: string, value: string, seen?: string | RegExp): NastyReply => ({
  what: `${name}: ${value}`,
  wish: { headers: [[name, value]], pieces: body },
  status: 200,
  text: whole,
  headers: { [name.toLowerCase()]: seen },
});

const ours: readonly NastyReply[] = [
  dropped("Transfer-Encoding", "chunked"),
  dropped("Transfer-Encoding", "identity"),
  dropped("X-OL-Not-Started", "1"),
  dropped("X-OL-Load", "v=1;slots=0", LOAD),
  dropped("X-OL-Invocation-Id", "forged", /^[0-9A-Z]{26}$/u),
  dropped("Connection", "close", "keep-alive"),
  dropped("Upgrade", "websocket"),
  dropped("Trailer", "X-Forged"),
  {
    what: "Transfer-Encoding and Content-Length, piece by piece",
    wish: {
      headers: [
        ["Transfer-Encoding", "chunked"],
        ["Content-Length", "9"],
      ],
      pieces: body,
      stream: true,
    },
    status: 200,
    text: whole,
    headers: { "transfer-encoding": undefined, "content-length": "9" },
  },
];

const nothing: readonly NastyReply[] = [
  { what: "HEAD with a body", wish: { pieces: body }, method: "HEAD", status: 200, text: "" },
  {
    what: "HEAD with a body, piece by piece",
    wish: { pieces: body, stream: true },
    method: "HEAD",
    status: 200,
    text: "",
  },
  { what: "204 with a body", wish: { status: 204, pieces: body }, status: 204, text: "" },
  {
    what: "204 with a body and a Content-Length",
    wish: { status: 204, headers: [["Content-Length", "9"]], pieces: body },
    status: 204,
    text: "",
    headers: { "content-length": undefined },
  },
  {
    what: "204 with a body, piece by piece",
    wish: { status: 204, pieces: body, stream: true },
    status: 204,
    text: "",
  },
  {
    what: "304 with a body and a Content-Length",
    wish: { status: 304, headers: [["Content-Length", "9"]], pieces: body, stream: true },
    status: 304,
    text: "",
    // Node's own client takes one for a promise.
    headers: { "content-length": undefined },
  },
  {
    what: "a failure in the body of a reply to HEAD",
    wish: { pieces: body, after: "raise" },
    method: "HEAD",
    status: 200,
    text: "",
  },
];

const failures: readonly NastyReply[] = [
  { what: "an exception", wish: { before: "raise" }, status: 500, text: /ValueError: asked to raise/u },
  { what: "an exception to HEAD", wish: { before: "raise" }, method: "HEAD", status: 500, text: "" },
  { what: "an exception in mid-body", wish: { pieces: body, after: "raise" }, status: 0 },
  {
    what: "an exception after a Content-Length was kept",
    wish: { headers: [["Content-Length", "99"]], pieces: body, after: "raise" },
    status: 0,
  },
  { what: "an exit", wish: { before: "exit" }, status: 502, text: /code 3/u, ends: true },
  { what: "an exit in mid-body", wish: { pieces: body, after: "exit" }, status: 0, ends: true },
  { what: "a crash", wish: { before: "crash" }, status: 502, text: /ended by SIG/u, ends: true },
  { what: "a crash in mid-body", wish: { pieces: body, after: "crash" }, status: 0, ends: true },
];

export const NASTY_REPLIES: readonly NastyReply[] = [
  ...statuses,
  ...fields,
  ...lengths,
  ...ours,
  ...nothing,
  ...failures,
];
