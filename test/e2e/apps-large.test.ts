import { createHash, type Hash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { scaled } from "../../packages/sandbox/test/support/scale.ts";
import { AppWorker, KINDS } from "./support/app-worker.ts";

const PIECE_BYTES = 65_536;
const MIB = 1024 * 1024;
const SIZE_MIB = scaled(64, 1_024);
/** Before it is measured: what the first bytes cost once. */
const WARM_UP_MIB = 16;
/** What worker and app may grow by, whatever the size: garbage that Node has not collected yet, and a window. */
const MAX_GROWTH_KB = 40_000;
const TIMEOUT_MS = scaled(120_000, 600_000);

let worker: AppWorker;

beforeAll(async () => {
  worker = await AppWorker.start({ limits: { runtime_sec: scaled(60, 600) } });
  for (const kind of KINDS) await worker.add(`${kind}-one`, kind, "max_instances: 1\n");
});
afterAll(() => worker.close());

/** A piece as `download` makes it. */
const piece = (number: number): Buffer => Buffer.alloc(PIECE_BYTES, String(number).padStart(8, "0"));

function* pieces(sizeMib: number, hash: Hash): Generator<Buffer> {
  for (let number = 0; number * PIECE_BYTES < sizeMib * MIB; number += 1) {
    const data = piece(number);
    hash.update(data);
    yield data;
  }
}

/** A request whose reply is hashed as it comes, and kept only if it is small. */
const exchange = async (
  target: string,
  body?: Readable,
): Promise<{ readonly sha256: string; readonly bytes: number; readonly text: string }> => {
  const method = body === undefined ? "GET" : "POST";
  const request = httpRequest({ port: worker.port, host: "127.0.0.1", path: target, method });
  const reply = new Promise<Readable>((resolve, reject) => {
    request.on("response", resolve);
    request.on("error", reject);
  });
  const sending = body === undefined ? Promise.resolve(request.end()) : pipeline(body, request);
  const hash = createHash("sha256");
  let bytes = 0;
  let text = "";
  for await (const data of await reply) {
    hash.update(data as Buffer);
    bytes += (data as Buffer).length;
    if (bytes < 1_000) text += String(data);
  }
  await sending;
  return { sha256: hash.digest("hex"), bytes, text };
};

const peakKb = async (): Promise<number> => {
  const status = await readFile(`/proc/${worker.process.pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/u.exec(status)?.[1]);
};

describe.each(KINDS)("an app (%s)", (kind) => {
  const target = `/run/${kind}-one`;
  const peaksKb = async () => {
    const app = await worker.json<{ readonly VmHWM: number }>(`${target}/memory`);
    return { worker: await peakKb(), app: app.VmHWM };
  };

  const upload = async (sizeMib: number): Promise<void> => {
    const hash = createHash("sha256");
    const { text } = await exchange(`${target}/upload`, Readable.from(pieces(sizeMib, hash)));
    expect(JSON.parse(text)).toEqual({ bytes: sizeMib * MIB, sha256: hash.digest("hex") });
  };

  const download = async (sizeMib: number): Promise<void> => {
    const hash = createHash("sha256");
    const { sha256, bytes } = await exchange(`${target}/download?${(sizeMib * MIB) / PIECE_BYTES}`);
    for (const _data of pieces(sizeMib, hash));
    expect({ bytes, sha256 }).toEqual({ bytes: sizeMib * MIB, sha256: hash.digest("hex") });
  };

  it.each([
    ["takes", upload],
    ["replies with", download],
  ])(
    `%s ${SIZE_MIB} MiB, every byte of them, and neither it nor the worker grows`,
    async (what, transfer) => {
      await transfer(WARM_UP_MIB);
      const before = await peaksKb();
      const beganMs = performance.now();
      await transfer(SIZE_MIB);
      const sec = (performance.now() - beganMs) / 1000;
      const after = await peaksKb();
      process.stdout.write(
        `${kind} ${what} ${SIZE_MIB} MiB in ${sec.toFixed(1)} s; peak of the worker ` +
          `${before.worker >> 10} -> ${after.worker >> 10} MB, of the app ${before.app >> 10} -> ${after.app >> 10} MB\n`,
      );
      expect(after.worker - before.worker).toBeLessThan(MAX_GROWTH_KB);
      expect(after.app - before.app).toBeLessThan(MAX_GROWTH_KB);
    },
    TIMEOUT_MS,
  );
});
