import { END, FRAME } from "../../../packages/sandbox/src/frames/codec.ts";
import { GREETINGS, VIOLATIONS, type Violation } from "../../../packages/sandbox/test/support/violations.ts";
import { READY, bytes, reply, u32 } from "../../../packages/sandbox/test/unit/frames-kit.ts";

/** What hostile/f.py does: a step's name and its arguments. */
export type Step = readonly [name: string, ...args: (string | number)[]];

/** One way to be hostile. */
export interface HostileCase {
  readonly what: string;
  /** The first call's event. */
  readonly steps?: readonly Step[];
  /** Done while the code is loaded. */
  readonly atImport?: readonly Step[];
  /** Bytes that the first call's event has besides. */
  readonly padding?: number;
  readonly runtimeSec?: number;
  /** How each call is answered, and how many are made. `broken`: a reply that begins and is broken off. */
  readonly status: number | "broken";
  readonly text?: RegExp;
  readonly calls?: number;
  /**
   * What becomes of the sandbox: it is ended, or it lives on, since it broke no rule, but is of no use to anybody as
   * it never calls the runtime again.
   */
  readonly sandbox: "ended" | "stuck";
}

export const write = (...parts: readonly Buffer[]): Step => [
  "write",
  Buffer.concat(parts).toString("base64"),
];
const flood = (frame: Buffer, times: number): Step => ["flood", frame.toString("base64"), times];
const trickle = (data: Buffer, seconds: number): Step => ["trickle", data.toString("base64"), seconds];
/** Longer than any case takes: only being ended ends it. */
const STAY: Step = ["sleep", 60];

const STATUS = { nothing: 502, whole: 200, broken: "broken" } as const;
const BROKE = /broke the wire protocol|gave up on the call/;

/** The violations that a lambda's code can commit: it is loaded after the HELLO, so that each of these is a second one. */
const violations: readonly HostileCase[] = [
  ...GREETINGS.filter(([what]) => what !== "a first frame that is no HELLO"),
  ...VIOLATIONS,
].map(([what, said, heard = "nothing"]: Violation) => ({
  what,
  steps: [write(...said), STAY],
  status: STATUS[heard],
  ...(heard === "nothing" && { text: BROKE }),
  sandbox: "ended",
}));

const started = bytes(FRAME.reply, 0, 1, "", '"begin');
const answer = (text: string): Step => write(reply(1, text));
const error = (kind: string, body: string): Step => write(reply(1, body, `:error\0${kind}`));
const log = bytes(FRAME.event, 0, 0, ":event\0log", "x".repeat(100));
const importError = bytes(FRAME.event, 0, 0, ":event\0import-error", "\x1b[2Jtrust me\r\nX-Evil: 1");
const fields = "content-length\x001\0transfer-encoding\0chunked\0x-evil\0a\r\nSet-Cookie: b";

const endings: readonly HostileCase[] = [
  { what: "dying before it replies", steps: [["exit", 3]], status: 502, text: /code 3/, sandbox: "ended" },
  { what: "dying in mid-body", steps: [write(started), ["exit", 3]], status: "broken", sandbox: "ended" },
  { what: "closing and living on", steps: [["close"], STAY], status: 502, sandbox: "ended" },
  {
    what: "half-closing in mid-body",
    steps: [write(started), ["half_close"], STAY],
    status: "broken",
    sandbox: "ended",
  },
];

const slow: readonly HostileCase[] = [
  {
    what: "half a frame and silence",
    steps: [write(reply(1, "12345").subarray(0, 14)), STAY],
    status: 502,
    text: /half a frame/,
    sandbox: "ended",
  },
  {
    what: "one byte each 20 ms, for ever",
    steps: [trickle(reply(1, "1".repeat(3_000)), 0.02)],
    status: 502,
    text: /half a frame/,
    sandbox: "ended",
  },
  {
    what: "one byte each 20 ms, to its end in time",
    steps: [trickle(reply(1, "1".repeat(20)), 0.02), STAY],
    status: 200,
    text: /^1{20}$/,
    sandbox: "stuck",
  },
  { what: "never replying", steps: [STAY], runtimeSec: 1, status: 504, sandbox: "ended" },
  { what: "ignoring RESET", steps: [["deaf"], STAY], runtimeSec: 1, status: 504, sandbox: "ended" },
  {
    what: "never reading although it is ready",
    atImport: [write(READY), STAY],
    padding: 3_000_000,
    status: 502,
    text: /nothing read/,
    sandbox: "ended",
  },
  {
    what: "silence while it is loaded",
    atImport: [STAY],
    runtimeSec: 1,
    status: 504,
    text: /not loaded within/,
    sandbox: "ended",
  },
];

/** Each more than its budget allows at once, so that it takes a second or two. */
const floods: readonly HostileCase[] = [
  {
    what: "a flood of logs",
    steps: [flood(log, 8_000), answer("1")],
    status: 200,
    sandbox: "stuck",
  },
  {
    what: "a flood of ignorable frames",
    steps: [flood(bytes(0x41), 8_000), answer("1")],
    status: 200,
    sandbox: "stuck",
  },
  {
    what: "a flood of WINDOW",
    steps: [flood(bytes(FRAME.window, 0, 1, "", u32(1)), 80_000), answer("1")],
    status: 200,
    sandbox: "stuck",
  },
  {
    what: "a flood of empty DATA",
    steps: [
      write(started),
      flood(bytes(FRAME.data, 0, 1), 8_000),
      write(bytes(FRAME.data, END, 1, "", ' and end"')),
    ],
    status: 200,
    text: /^"begin and end"$/,
    sandbox: "stuck",
  },
  {
    what: "a flood without end",
    steps: [flood(log, 100_000_000)],
    runtimeSec: 2,
    status: 504,
    sandbox: "ended",
  },
].map((flooding) => ({ ...flooding, steps: [...flooding.steps, STAY] }) as HostileCase);

const replies: readonly HostileCase[] = [
  {
    what: "a reply with HTTP's own fields",
    steps: [write(reply(1, '"body"', fields)), STAY],
    status: 200,
    text: /^"body"$/,
    sandbox: "stuck",
  },
  {
    what: "an error of a kind that does not exist",
    steps: [error("teapot", "{}"), STAY],
    status: 502,
    text: /unknown kind of error/,
    sandbox: "ended",
  },
  {
    what: "an exception that is no JSON",
    steps: [error("exception", "\x00<script>"), STAY],
    status: 500,
    text: /could not be read/,
    sandbox: "stuck",
  },
  {
    what: "an exception of 900,000 brackets",
    steps: [error("exception", "[".repeat(900_000)), STAY],
    status: 500,
    text: /could not be read/,
    sandbox: "stuck",
  },
  {
    // A sandbox that failed its caller is not used again, so that each of them is another one's first.
    what: "RESET for every call",
    steps: [["reset_all"]],
    status: 502,
    text: /gave up on the call \(reset 3\)/,
    calls: 5,
    sandbox: "ended",
  },
  {
    what: "an import error that it made up, with control characters",
    atImport: [write(importError), STAY],
    status: 500,
    text: /trust me/,
    sandbox: "ended",
  },
  {
    what: "events that are the worker's to send, or nobody's",
    steps: [
      write(
        ...["shutdown", "resumed", "memory", ""].map((name) => bytes(FRAME.event, 0, 0, `:event\0${name}`)),
      ),
      answer("1"),
      STAY,
    ],
    status: 200,
    sandbox: "stuck",
  },
];

/** Everything hostile that was thought of, as far as code that runs in a sandbox can do it. */
export const HOSTILE_CASES: readonly HostileCase[] = [
  ...violations,
  ...endings,
  ...slow,
  ...floods,
  ...replies,
];
