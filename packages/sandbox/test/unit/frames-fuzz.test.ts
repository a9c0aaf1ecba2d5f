import { describe, expect, it } from "vitest";

import { sandboxError } from "../../src/errors.ts";
import { END, FRAME } from "../../src/frames/codec.ts";
import { FrameReader } from "../../src/frames/reader.ts";
import { Bench, HELLO, READY, bytes, reply, seededRandom, u32 } from "./frames-kit.ts";

const TRAFFIC = Buffer.concat([
  HELLO,
  READY,
  bytes(FRAME.event, 0, 0, ":event\0log", "a line"),
  reply(1, "[1,2,3]"),
  bytes(FRAME.window, 0, 3, "", u32(1000)),
  bytes(FRAME.reply, 0, 3, ":error\0exception", "{"),
  bytes(0x40, 0, 0, "", "ignorable"),
  bytes(FRAME.data, 0, 3, "", "body"),
  bytes(FRAME.data, END, 3, "", "}"),
  bytes(FRAME.reset, 0, 5, "", u32(3)),
]);

type Random = () => number;
const below = (random: Random, limit: number): number => Math.floor(random() * limit);

/** Flips, removes, repeats or inserts a few bytes. */
const mutate = (random: Random, traffic: Buffer): Buffer => {
  let bytes = Buffer.from(traffic);
  for (let times = 1 + below(random, 4); times > 0; times -= 1) {
    const at = below(random, bytes.length);
    const size = 1 + below(random, 20);
    const [before, piece, after] = [
      bytes.subarray(0, at),
      bytes.subarray(at, at + size),
      bytes.subarray(at + size),
    ];
    const kind = below(random, 4);
    if (kind === 0) bytes[at] = below(random, 256);
    else if (kind === 1) bytes = Buffer.concat([before, after]);
    else if (kind === 2) bytes = Buffer.concat([before, piece, piece, after]);
    else
      bytes = Buffer.concat([before, Buffer.from(Array.from(piece, () => below(random, 256))), piece, after]);
    if (bytes.length === 0) return bytes;
  }
  return bytes;
};

const pieces = (random: Random, bytes: Buffer): Buffer[] => {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const size = 1 + below(random, random() < 0.5 ? 4 : 200);
    parts.push(bytes.subarray(at, at + size));
    at += size;
  }
  return parts;
};

/** The frames in these chunks, one line each. */
const read = (chunks: Buffer[]): string[] => {
  const frames: string[] = [];
  /** The frames in these chunks, one line each. */
  const reader = new FrameReader({
    frame: (type, flags, id, meta, body) =>
      void frames.push(`${type} ${flags} ${id} ${meta.toString("latin1")} ${body.toString("latin1")}`),
    more: (data) => void (frames[frames.length - 1] += data.toString("latin1")),
  });
  for (const chunk of chunks) reader.push(chunk);
  expect(reader.partial).toBe(0);
  return frames;
};

describe("mutated traffic of a guest", () => {
  it("lets every call end exactly once, in a legal order", async () => {
    const codes = new Set<string | undefined>();
    for (let seed = 1; seed <= 400; seed += 1) {
      const random = seededRandom(seed);
      const bench = new Bench();
      const sinks = [1, 2, 3].map(() => bench.open());
      for (const piece of pieces(random, mutate(random, TRAFFIC))) bench.guest.write(piece);
      bench.guest.end();
      const error = await bench.ended;
      codes.add(error?.code);
      bench.connection.fail(error ?? sandboxError("OL_SANDBOX_EXITED", "over"));
      for (const sink of sinks)
        expect(sink.heard.join(" "), `seed ${seed}`).toMatch(/^(whole|fail|start (chunk )?(end|fail))$/);
      expect(bench.connection.inFlight).toBe(0);
    }
    expect(codes).toContain("OL_SANDBOX_PROTOCOL");
    expect(codes).toContain(undefined);
  });

  it("is cut into the same frames wherever its chunks end", () => {
    const whole = read([TRAFFIC]);
    expect(whole.length).toBe(10);
    for (let seed = 1; seed <= 200; seed += 1)
      expect(read(pieces(seededRandom(seed), TRAFFIC)), `seed ${seed}`).toEqual(whole);
  });
});
