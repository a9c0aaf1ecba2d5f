import * as path from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { sha256Of } from "../support/bodies.ts";
import { TestDirectory } from "../support/directory.ts";
import { StoreProcess } from "../support/store-process.ts";
import { type SystemCall, systemCalls } from "../support/system-calls.ts";

const TRACED = "openat,write,pwrite64,fdatasync,fsync,rename,renameat,renameat2,unlink,unlinkat";

let directory: TestDirectory;
beforeEach(() => {
  directory = new TestDirectory();
});
afterEach(() => directory[Symbol.dispose]());

/** The system calls for each of the requests of `act`, from the answer before to its own. */
const traced = async (act: (store: StoreProcess) => Promise<unknown>): Promise<SystemCall[][]> => {
  const trace = path.join(directory.path, "trace");
  {
    const under = ["strace", "-f", "-y", "-s", "64", "-e", `trace=${TRACED}`, "-o", trace];
    await using store = await StoreProcess.start({ directory: directory.data, under });
    await act(store);
  }
  const requests: SystemCall[][] = [[]];
  for (const call of systemCalls(trace)) {
    if (call.result.startsWith("-1") || inShort(call) === undefined) continue;
    requests.at(-1)?.push(call);
    if (inShort(call) === "answer") requests.push([]);
  }
  // The first is the start.
  return requests.slice(1, -1);
};

/** What a call does to the data directory, in short: random names are `*`, the digit of a fan is `D`, a digest `HASH`. */
const inShort = ({ name, given }: SystemCall): string | undefined => {
  if (name === "write" && given.startsWith("1<")) return "answer";
  const paths = [...given.matchAll(/[<"](\/[^<>"]*)[>"]/g)].map(([, each]) => each as string);
  const own = paths.filter((each) => each.startsWith(`${directory.data}/`));
  if (own.length === 0) return undefined;
  const short = own
    .map((each) => path.relative(directory.data, each))
    .map((each) =>
      each
        .replace(/^tmp\/.*/, "tmp/*")
        .replace(/\/[0-9a-f](?=\/|$)/, "/D")
        .replace(/[0-9a-f]{64}$/, "HASH"),
    );
  if (name === "openat") return given.includes("O_EXCL") ? `create ${short[0]}` : undefined;
  const verb = name
    .replace(/^rename.*/, "rename")
    .replace(/^unlink.*/, "unlink")
    .replace("pwrite64", "write");
  return `${verb} ${short.join(" ")}`;
};

const CONTENT = ["fdatasync tmp/*", "rename tmp/* blobs/D/HASH", "fsync blobs/D"];
const RECORD = [
  "create tmp/*",
  "write tmp/*",
  "fdatasync tmp/*",
  "rename tmp/* records/D/HASH",
  "fsync records/D",
  "answer",
];

/** Each begins when the one before has ended. */
const expectOneAfterAnother = (calls: readonly SystemCall[]): void => {
  for (const [place, call] of calls.entries()) {
    expect(call.begin, `call ${place}`).toBeGreaterThan(calls[place - 1]?.end ?? -1);
  }
};

describe("The order of system calls", () => {
  it("of an upload is: write, sync, name, sync the name; then the same of its record; then the answer", async () => {
    const requests = await traced(async (store) => {
      await store.ask("put", { key: "a", seed: "1", size: 20_000 });
      await store.ask("put", { key: "a", seed: "2", size: 0 });
    });
    const [first, second] = requests as [SystemCall[], SystemCall[]];
    expect(first.map(inShort)).toEqual(["create tmp/*", "write tmp/*", ...CONTENT, ...RECORD]);
    expectOneAfterAnother(first);
    // What was overwritten is removed last: until then it is what counts.
    const removed = second.findIndex((call) => inShort(call) === "unlink blobs/D/HASH");
    expect(removed).toBe(second.length - 2);
    expect(second.filter((_, place) => place !== removed).map(inShort)).toEqual([
      "create tmp/*",
      ...CONTENT,
      ...RECORD,
    ]);
    expectOneAfterAnother(second);
    expect(second[removed]?.given).toContain(/blobs\/.*?([0-9a-f]{64})/.exec(first[3]?.given ?? "")?.[1]);
  });

  it("of a large upload has its last sync after the last of its bytes, and no name before", async () => {
    const [calls] = (await traced((store) =>
      store.ask("put", { key: "a", seed: "1", size: 30_000_000 }),
    )) as [SystemCall[]];
    const writes = calls.filter((call) => inShort(call) === "write tmp/*").slice(0, -1);
    const written = writes.reduce((sum, { result }) => sum + Number(result), 0);
    expect(written).toBe(30_000_000);
    const rest = calls.slice(calls.findIndex((call) => inShort(call) === "rename tmp/* blobs/D/HASH") - 1);
    expect(rest.map(inShort)).toEqual([...CONTENT, ...RECORD]);
    expectOneAfterAnother(rest);
    for (const write of writes) expect(write.end).toBeLessThan(rest[0]?.begin ?? 0);
  });

  it("of a removal is: the record, sync; then the content, and the answer", async () => {
    const [, calls] = (await traced(async (store) => {
      await store.ask("put", { key: "a", seed: "1", size: 10 });
      await store.ask("delete", { key: "a" });
    })) as [SystemCall[], SystemCall[]];
    expect(calls.map(inShort)).toEqual([
      "unlink records/D/HASH",
      "fsync records/D",
      "unlink blobs/D/HASH",
      "answer",
    ]);
    expectOneAfterAnother(calls);
    expect(calls[0]?.given).toContain(sha256Of("code/a"));
  });
});
