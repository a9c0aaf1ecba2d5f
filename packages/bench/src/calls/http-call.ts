import { type Agent, type IncomingMessage, request } from "node:http";

/** What came of one call. */
export interface Outcome {
  /** When it should have been sent, on the clock of `performance.now()`; and when its reply had ended. */
  readonly dueMs: number;
  readonly endMs: number;
  /** 0: there was no whole reply. */
  readonly status: number;
  /** It waited for a new sandbox. */
  readonly cold: boolean;
  /** What it waited for in the worker before a sandbox was made for it or ran it: for one, for its turn, for memory. */
  readonly queueMs: number;
  /** Of a call that was not answered with status 200 and what it should be: what came instead, in one short line. */
  readonly problem?: string;
}

/** One POST that is to be made. */
export interface HttpCall {
  readonly agent: Agent;
  readonly host: string;
  readonly port: number;
  /** With all that belongs in front of the lambda's name. */
  readonly path: string;
  /** JSON. */
  readonly body: string;
  /** Whether a reply with status 200 says what it should; default: it does. */
  readonly isRight?: (text: string) => boolean;
}

/** Longer than a balancer or a worker lets anybody wait. */
const CALL_MS = 60_000;
/** What a call's Server-Timing has only if it waited for a new sandbox. */
const COLD = /(?:^|, )(?:fork|import);/u;
/** What it has of waiting: for a sandbox or its turn, and for memory. */
const WAITED = /(?:^|, )(?:queue|memory);dur=(?<ms>[0-9.]+)/gu;

/** Of what came instead of a reply. */
const MOST_CHARS = 160;

const problemOf = (what: string): string => what.replaceAll(/\s+/gu, " ").slice(0, MOST_CHARS);

/** What a reply says of how the call went. */
const timingOf = ({ headers }: IncomingMessage): Pick<Outcome, "cold" | "queueMs"> => {
  const timing = String(headers["server-timing"] ?? "");
  const waits = [...timing.matchAll(WAITED)].map(({ groups }) => Number(groups?.["ms"]));
  return { cold: COLD.test(timing), queueMs: waits.reduce((sum, ms) => sum + ms, 0) };
};

/** Makes the call. Never rejects: a reply that is not whole, or another lambda's, is none. */
export const httpCall = (
  { agent, host, port, path, body, isRight = () => true }: HttpCall,
  dueMs: number,
): Promise<Outcome> =>
  new Promise((resolve) => {
    const none = ({ message }: Error): void =>
      resolve({
        dueMs,
        endMs: performance.now(),
        status: 0,
        cold: false,
        queueMs: 0,
        problem: problemOf(message),
      });
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const sent = request({ agent, host, port, method: "POST", path, headers, timeout: CALL_MS }, (reply) => {
      let text = "";
      reply.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      reply.once("error", none);
      reply.once("end", () => {
        const { statusCode: said = 0 } = reply;
        const outcome = { dueMs, endMs: performance.now(), ...timingOf(reply) };
        if (said === 200 && isRight(text)) resolve({ ...outcome, status: said });
        else resolve({ ...outcome, status: said === 200 ? 0 : said, problem: problemOf(`${said} ${text}`) });
      });
    });
    sent.once("timeout", () => sent.destroy(new Error(`no reply within ${CALL_MS} ms`)));
    // A connection that breaks may tell so twice.
    sent.on("error", none);
    sent.end(body);
  });
