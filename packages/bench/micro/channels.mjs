// What the diagnostics channels cost a call: nanoseconds for the looks at channels that nobody listens to, for messages that
// somebody gets, and for an empty loop to compare with. Usage: node packages/bench/micro/channels.mjs
import { typedChannel } from "@ol/common";

const ROUNDS = 7;
const CALLS = 2_000_000;
/** Of one call that is answered: into the queue, out of it, into a sandbox, and its end. */
const CHANNELS = ["enter", "leave", "start", "end"].map((name) => typedChannel(`ol:micro:${name}`));

const asked = (call) => {
  for (const channel of CHANNELS)
    if (channel.hasSubscribers) channel.publish({ lambda: "hello", invocationId: "1", queued: call });
};

/** As `asked`, without a channel. */
const bare = (call) => {
  for (const channel of CHANNELS) if (channel === undefined) throw new Error(String(call));
};

const nsOf = (work) => {
  const since = process.hrtime.bigint();
  for (let call = 0; call < CALLS; call += 1) work(call);
  return Number(process.hrtime.bigint() - since) / CALLS;
};

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const measure = (work) => Math.round(median(Array.from({ length: ROUNDS }, () => nsOf(work))) * 10) / 10;

const loopNs = measure(bare);
const silentNs = measure(asked);
let heard = 0;
const { subscribe } = await import("node:diagnostics_channel");
for (const name of ["enter", "leave", "start", "end"]) subscribe(`ol:micro:${name}`, () => void (heard += 1));
const heardNs = measure(asked);
if (heard !== ROUNDS * CALLS * CHANNELS.length) throw new Error(`${heard} messages were heard`);
console.log(JSON.stringify({ unit: "ns for each call, four channels", loopNs, silentNs, heardNs }));
