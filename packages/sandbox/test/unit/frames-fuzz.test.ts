import { describe, expect, it } from "vitest";

import { sandboxError } from "../../src/errors.ts";
import { FrameReader } from "../../src/frames/reader.ts";
import { APP_TRAFFIC, TRAFFIC, mutate, pieces } from "../support/mutate.ts";
import { Bench, HELLO, aRequest, seededRandom } from "./frames-kit.ts";

/** With the greeting. */
const WHOLE = Buffer.concat([HELLO, TRAFFIC]);
const WHOLE_OF_APP = Buffer.concat([HELLO, APP_TRAFFIC]);

/** The frames in these chunks, one line each. */
const read = (chunks: Buffer[]): string[] => {
  const frames: string[] = [];
  const reader = new FrameReader({
    frame: (type, flags, id, meta, body) =>
      void frames.push(`${type} ${flags} ${id} ${meta.toString("latin1")} ${body.toString("latin1")}`),
    more: (data) => void (frames[frames.length - 1] += data.toString("latin1")),
  });
  for (const chunk of chunks) reader.push(chunk);
  expect(reader.partial).toBe(0);
  return frames;
};

/** What a sink may hear, in this order. */
const LEGAL = /^(whole|(start (chunk )?)?fail|start (chunk )?arrived (chunk )?end)$/;

describe("mutated traffic of a guest", () => {
  it("lets every call end exactly once, in a legal order", async () => {
    const codes = new Set<string | undefined>();
    for (let seed = 1; seed <= 400; seed += 1) {
      const random = seededRandom(seed);
      const bench = new Bench();
      const sinks = [1, 2, 3].map(() => bench.open());
      for (const piece of pieces(random, mutate(random, WHOLE))) bench.guest.write(piece);
      bench.guest.end();
      const error = await bench.ended;
      codes.add(error?.code);
      bench.connection.fail(error ?? sandboxError("OL_SANDBOX_EXITED", "over"));
      for (const sink of sinks) expect(sink.heard.join(" "), `seed ${seed}`).toMatch(LEGAL);
      expect(bench.connection.inFlight).toBe(0);
    }
    expect(codes).toContain("OL_SANDBOX_PROTOCOL");
    expect(codes).toContain(undefined);
  });

  it("of an app lets every request end exactly once, in a legal order, whoever writes or leaves meanwhile", async () => {
    const codes = new Set<string | undefined>();
    for (let seed = 1; seed <= 400; seed += 1) {
      const random = seededRandom(seed);
      const bench = new Bench();
      const sinks = [1, 3, 5, 7, 9].map((id) =>
        bench.open(aRequest({ body: Buffer.from("be"), bodyFollows: id === 9 })),
      );
      const gone = sinks[Math.floor(random() * 10)];
      for (const piece of pieces(random, mutate(random, WHOLE_OF_APP))) {
        bench.guest.write(piece);
        if (random() < 0.1) await new Promise(setImmediate);
        if (random() < 0.2) sinks[4]?.write(Buffer.alloc(random() < 0.5 ? 10 : 200_000));
        if (random() < 0.05) sinks[4]?.endBody();
        if (random() < 0.05) gone?.cancel();
      }
      gone?.cancel();
      bench.guest.end();
      const error = await bench.ended;
      codes.add(error?.code);
      bench.connection.fail(error ?? sandboxError("OL_SANDBOX_EXITED", "over"));
      for (const sink of sinks)
        expect(sink.heard.join(" "), `seed ${seed}`).toMatch(
          sink === gone
            ? /^(|whole|start( chunk)?( arrived( chunk)?( end)?)?|(start (chunk )?)?fail)$/
            : LEGAL,
        );
      for (const { error: itsError } of sinks) codes.add(itsError?.code);
      expect(bench.connection.inFlight).toBe(0);
    }
    for (const code of ["OL_SANDBOX_PROTOCOL", "OL_SANDBOX_BAD_REPLY", "OL_SANDBOX_APP_FAILED", undefined])
      expect(codes).toContain(code);
  });

  it("is cut into the same frames wherever its chunks end", () => {
    const whole = read([WHOLE]);
    expect(whole.length).toBe(10);
    for (let seed = 1; seed <= 200; seed += 1)
      expect(read(pieces(seededRandom(seed), WHOLE)), `seed ${seed}`).toEqual(whole);
  });
});
