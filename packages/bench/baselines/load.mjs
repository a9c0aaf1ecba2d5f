// A closed-loop load generator over plain sockets: each connection sends the next request when the reply to the
// last one is complete. It parses only what it must (status, content-length), so that it is not the bottleneck.
//
// usage: load.mjs '{"port", "path", "body", "connections", "warmupMs", "durationMs"}'
// Prints one line of JSON: {"replies", "errors", "durationMs", "requestsPerSecond", "p50Us", "p90Us", "p99Us", "maxUs",
// "cpuShare"}; a cpuShare near 1 means that the generator itself was the limit.
// Frozen: its SHA-256 is in docs/benchmarks.md.
import { connect } from "node:net";

const options = JSON.parse(process.argv[2]);
const request = Buffer.from(
  `POST ${options.path} HTTP/1.1\r\nHost: 127.0.0.1:${options.port}\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${Buffer.byteLength(options.body)}\r\n\r\n${options.body}`,
);

const nowUs = () => Number(process.hrtime.bigint() / 1000n);

let measuring = false;
let stopped = false;
let errors = 0;
const latenciesUs = [];

/** The length of the first reply in `data`, head and body, or 0 if it is not complete; throws on anything odd. */
const replyLength = (data) => {
  const headEnd = data.indexOf("\r\n\r\n");
  if (headEnd < 0) return 0;
  const head = data.latin1Slice(0, headEnd + 2).toLowerCase();
  const at = head.indexOf("\r\ncontent-length:");
  if (at < 0) throw new Error(`no content-length in: ${head}`);
  const total = headEnd + 4 + Number.parseInt(head.slice(at + 17), 10);
  return data.length >= total ? total : 0;
};

const openConnection = () =>
  new Promise((resolve, reject) => {
    const socket = connect({ port: options.port, host: "127.0.0.1", noDelay: true });
    let pending = Buffer.alloc(0);
    let sentUs = 0;
    const send = () => {
      sentUs = nowUs();
      socket.write(request);
    };
    socket.once("connect", send);
    socket.once("error", reject);
    socket.once("close", () => (stopped ? resolve() : reject(new Error("the server closed a connection"))));
    socket.on("data", (chunk) => {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
      const length = replyLength(pending);
      if (length === 0) return;
      if (measuring) {
        latenciesUs.push(nowUs() - sentUs);
        if (pending.latin1Slice(9, 12) !== "200") errors += 1;
      }
      pending = pending.subarray(length);
      if (stopped) socket.end();
      else send();
    });
  });

const connections = Array.from({ length: options.connections }, openConnection);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const measure = async () => {
  await wait(options.warmupMs);
  measuring = true;
  const beganUs = nowUs();
  const cpuBefore = process.cpuUsage();
  await wait(options.durationMs);
  measuring = false;
  const cpu = process.cpuUsage(cpuBefore);
  const durationMs = (nowUs() - beganUs) / 1000;
  stopped = true;
  return { durationMs, cpuShare: (cpu.user + cpu.system) / 1000 / durationMs };
};

const [{ durationMs, cpuShare }] = await Promise.all([measure(), ...connections]);
const sorted = Float64Array.from(latenciesUs).sort();
const quantile = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
process.stdout.write(
  `${JSON.stringify({
    replies: sorted.length,
    errors,
    durationMs,
    requestsPerSecond: (sorted.length * 1000) / durationMs,
    p50Us: quantile(0.5),
    p90Us: quantile(0.9),
    p99Us: quantile(0.99),
    maxUs: sorted.at(-1) ?? 0,
    cpuShare,
  })}\n`,
);
