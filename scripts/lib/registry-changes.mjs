// What the writers of the registry's power cut test do: the same for the guest, which does it, and the host, which checks it.
import { createHash } from "node:crypto";

export const WRITERS = 3;

const SIZES = [0, 100, 20_000, 300_000, 1_200_000];

/** The change that a writer makes as its `count`-th in that round: a content for a key, or a removal. */
export const changeOf = (seed, round, writer, count) => {
  const key = `writer ${writer}/${count % 4}`;
  if (count % 7 === 6) return { key };
  const size = SIZES[(count + writer) % SIZES.length];
  // Some are everybody's, so that writers meet in one content.
  const text = count % 3 === 0 ? `${seed} all the same ` : `${seed} ${round} ${writer} ${count} `;
  return { key, content: Buffer.alloc(size, text) };
};

/** In hexadecimal; null for a removal. */
export const digestOf = ({ content }) =>
  content === undefined ? null : createHash("sha256").update(content).digest("hex");
