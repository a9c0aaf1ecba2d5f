import { constants } from "node:os";

/** What the text of a /proc/PID/status says: whose the process is, and whether it handles a signal itself. */
export const parseStatus = (
  status: string,
  signal: "SIGUSR2",
): { readonly uid: number | undefined; readonly handles: boolean } => {
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}:\\s*(?<first>\\S+)`, "mu").exec(status)?.groups?.["first"];
  const [uid, caught] = [field("Uid"), field("SigCgt")];
  // Bit 0 is signal 1.
  const bit = 1n << BigInt(constants.signals[signal] - 1);
  return {
    uid: uid === undefined ? undefined : Number(uid),
    handles: caught !== undefined && (BigInt(`0x${caught}`) & bit) !== 0n,
  };
};
