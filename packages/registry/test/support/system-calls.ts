import { readFileSync } from "node:fs";

/** One system call of a trace by `strace -f -y`. */
export interface SystemCall {
  readonly name: string;
  /** As strace shows them; descriptors with their paths. */
  readonly given: string;
  readonly result: string;
  /** The lines at which it begins and ends. */
  readonly begin: number;
  readonly end: number;
}

const WHOLE = /^(\d+) +(\w+)\((.*)\) += (.*)$/;
const UNFINISHED = /^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$/;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (.*)$/;

/** What a trace says, in the order in which the calls ended. */
export const systemCalls = (file: string): SystemCall[] => {
  const calls: SystemCall[] = [];
  const begun = new Map<string, { given: string; begin: number }>();
  for (const [line, text] of readFileSync(file, "utf8").split("\n").entries()) {
    const whole = WHOLE.exec(text);
    const unfinished = UNFINISHED.exec(text);
    const resumed = RESUMED.exec(text);
    if (unfinished !== null)
      begun.set(`${unfinished[1]} ${unfinished[2]}`, { given: unfinished[3] ?? "", begin: line });
    else if (resumed !== null) {
      const { given, begin } = begun.get(`${resumed[1]} ${resumed[2]}`) ?? { given: "", begin: line };
      calls.push({
        name: resumed[2] ?? "",
        given: given + resumed[3],
        result: resumed[4] ?? "",
        begin,
        end: line,
      });
    } else if (whole !== null) {
      calls.push({
        name: whole[2] ?? "",
        given: whole[3] ?? "",
        result: whole[4] ?? "",
        begin: line,
        end: line,
      });
    }
  }
  return calls;
};
