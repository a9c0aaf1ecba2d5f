import type { Call, Reply, ReplyHead, CallFailure, Sandbox } from "@ol/sandbox";

/**
 * As Sandbox.call, of a sandbox that is not trusted to stay short: one whose reply is longer is destroyed, and the call fails
 * with OL_SANDBOX_DESTROYED.
 */
export const replyWithin = (sandbox: Sandbox, call: Call, mostBytes: number): Promise<Reply> =>
  new Promise((resolve, reject) => {
    let failure: CallFailure | undefined;
    let head: ReplyHead | undefined;
    let bytes = 0;
    const parts: Buffer[] = [];
    sandbox.invoke(call, {
      whole: (failure, body, head) => resolve({ failure, head, body }),
      start: (itsFailure, itsHead) => {
        failure = itsFailure;
        head = itsHead;
      },
      chunk: (data) => {
        bytes += data.length;
        if (bytes <= mostBytes) return parts.push(data) > 0;
        parts.length = 0;
        void sandbox.destroy(`Its reply is longer than ${mostBytes} bytes.`);
        return false;
      },
      end: () => resolve({ failure, head, body: Buffer.concat(parts) }),
      fail: reject,
    });
  });
