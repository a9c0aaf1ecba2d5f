import type { CallStream } from "./call-stream.ts";
import type { StreamList } from "./stream-list.ts";

/**
 * Whether the stream's call waits in the guest behind another one, where calls run one after the other. Such a guest
 * reads frames in order and begins a call only after it has answered the one before; one that was sent in several frames
 * may be overtaken, so nothing is said of what comes behind it. Neither is anything of a call whose caller has given
 * away a part of its body: it cannot be run elsewhere anyway.
 */
export const isBehind = (stream: CallStream): boolean =>
  stream.previous?.inOneFrame === true && !stream.taken;

/**
 * Asks for the calls back that wait behind the first, the last of them first: so they come back in the order in which
 * each can be put in front of the others. The guest answers each with a RESET, or in turn with its reply if it has
 * begun meanwhile.
 */
export const recallWaiting = (streams: StreamList, recall: (stream: CallStream) => void): void => {
  for (let stream = streams.last; stream !== undefined; stream = stream.previous) {
    const mayBeAsked = Number.isFinite(stream.waitMs) && stream.inOneFrame && !stream.recalled;
    if (!mayBeAsked || !isBehind(stream)) continue;
    stream.recalled = true;
    recall(stream);
  }
};
