import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";

import { findPeers, main, numberOf, numbersOf, plotCurves, PEER_NAMES, wordsOf } from "../../src/index.ts";

let out: string;
let errors: string;

beforeEach(() => {
  [out, errors] = ["", ""];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => ((out += String(text)), true));
  vi.spyOn(process.stderr, "write").mockImplementation((text) => ((errors += String(text)), true));
});

afterEach(() => vi.restoreAllMocks());

/** In virtual time, and quick. */
const SIMULATE = [
  "simulate",
  "--workers=2",
  "--slots=2",
  "--sandboxes=4",
  "--functions=4",
  "--seeds=1",
  "--seconds=1",
  "--policy=Round",
];

describe("the command line", () => {
  it("lists every command, and each says what it takes", async () => {
    expect(await main(["--help"])).toBe(0);
    const commands = [...out.matchAll(/^ {2}(\w+) +\S/gmu)].map(([, name]) => String(name));
    expect(commands).toEqual(
      expect.arrayContaining([
        "run",
        "create",
        "zygote",
        "warm",
        "churn",
        "density",
        "compare",
        "play",
        "cluster",
      ]),
    );
    for (const command of commands) {
      out = "";
      expect(await main([command, "--help"])).toBe(0);
      expect(out).toContain(`usage: ol-bench ${command} [options]`);
      expect(out).toContain("--json");
    }
  });

  it.each([
    [["nonsense"], "there is no command nonsense; see ol-bench --help"],
    [["--nonsense"], "Unknown option '--nonsense'"],
    [
      ["create", "--samples=0"],
      '--samples must be a whole number from 1 to 100000, not "0"; see ol-bench create --help',
    ],
    [["create", "--at-once=1,x"], '--at-once must be a whole number from 1 to 1000, not "x"'],
    [["create", "--engine=gvisor"], '--engine must be one of sock, docker, docker-shared, not "gvisor"'],
    [["churn", "--network=lan"], "--network must be one of none, host, outbound"],
    [["compare", "--peer=lxc"], "--peer must be one of python, bubblewrap, runc, docker, podman"],
    [["play"], "--trace=FILE is needed"],
    [["play", "--trace=/nonexistent/trace"], "ENOENT"],
    [["play", "--synthetic=5"], "--synthetic also needs --minutes, and --rate"],
    [
      ["play", "--synthetic=5", "--trace=x", "--minutes=1", "--rate=1"],
      "--trace is only for a trace that was recorded",
    ],
    [
      ["play", "--synthetic=5", "--minutes=1", "--rate=1", "--url=https://example.org"],
      "--url must begin with http://",
    ],
    [
      ["play", "--synthetic=5", "--minutes=1", "--rate=1", "--url=http://[::1]:1", "--busy=1"],
      "--busy is only for a worker of its own",
    ],
    [["play", "--synthetic=5", "--minutes=1", "--rate=1", "--body={}"], "--body is only for a --url"],
    [
      ["play", "--synthetic=5", "--minutes=1", "--rate=1", "--settings=[]"],
      "--settings must be a JSON object",
    ],
  ])("refuses what is wrong in one line with exit code 2: %j", async (args, reason) => {
    expect(await main(args)).toBe(2);
    const lines = errors
      .trim()
      .split("\n")
      .filter((line) => !line.startsWith("ol-bench: seed "));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(reason);
    expect(out).toBe("");
  });

  it("prints a table and then the JSON, which says who found it, with what, when, and in which version", async () => {
    expect(await main(SIMULATE)).toBe(0);
    const [table, json = ""] = out.trim().split(/\n(?=\{)/u);
    expect(table).toContain("RoundRobin");
    expect(JSON.parse(json)).toMatchObject({
      command: "simulate",
      arguments: SIMULATE.slice(1),
      version: expect.stringMatching(/^\d+\.\d+\.\d+/u) as unknown,
      commit: expect.stringMatching(/^(?:[0-9a-f]{40}\+?|unknown)$/u) as unknown,
      at: expect.stringMatching(/^20\d\d-.*Z$/u) as unknown,
    });
  });

  it("prints the JSON alone on request, with the seed that was also told beside it", async () => {
    const nobody = "--url=http://127.0.0.1:9";
    expect(
      await main(["play", "--synthetic=2", "--rate=100", "--minutes=0.01", nobody, "--seed=7", "--json"]),
    ).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ command: "play", seed: 7 });
    expect(errors).toContain("ol-bench: seed 7\n");
  });

  it("says what was found even if the plot cannot be written", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ol-bench-line-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const names = join(directory, "names");
    await writeFile(names, "hello\nhello\n");
    const play = [
      "play",
      `--trace=${names}`,
      "--loop=closed",
      "--clients=1",
      "--url=http://127.0.0.1:9",
      "--json",
    ];
    expect(await main([...play, `--svg=${join(directory, "play.svg")}`])).toBe(0);
    expect(await readFile(join(directory, "play.svg"), "utf8")).toMatch(/^<svg /u);
    out = "";
    expect(await main([...play, `--svg=${directory}`])).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ command: "play" });
    expect(errors).toContain("--svg: EISDIR");
  });
});

describe("options", () => {
  it("are numbers in their range, and lists of them or of words", () => {
    expect(numberOf("x", "2.5", { least: 0, fraction: true })).toBe(2.5);
    expect(() => numberOf("x", "2.5", { least: 0 })).toThrow("--x must be a whole number from 0 to 1000000");
    for (const text of ["", " ", "NaN", "1e99", "0x", "-1"])
      expect(() => numberOf("x", text, { least: 0, fraction: true })).toThrow("--x must be a number");
    expect(numbersOf("x", "1, 2,3", { least: 1 })).toEqual([1, 2, 3]);
    expect(() => numbersOf("x", "1,,2", { least: 1 })).toThrow("--x");
    expect(wordsOf("x", "b,a,b", ["a", "b"])).toEqual(["b", "a"]);
  });
});

describe("peers that are not installed", () => {
  it("are skipped with the reason, and the interpreter is there in any case", async () => {
    const path = process.env["PATH"];
    process.env["PATH"] = "/nonexistent";
    onTestFinished(() => void (process.env["PATH"] = path));
    await using peers = await findPeers(PEER_NAMES, process.execPath);
    expect(peers.found.map(({ name }) => name)).toEqual(["python3"]);
    expect(peers.skipped.map(({ name }) => name)).toEqual(["bubblewrap", "runc", "docker", "podman"]);
    for (const { reason } of peers.skipped)
      expect(reason).toContain("it is not installed (Debian: apt-get install");
  });
});

describe("curves", () => {
  it("go from left to right within their axes, leave out what is no number, and show labels as text", () => {
    const drawn = plotCurves("<caption>", [
      {
        title: "title",
        unit: "ms",
        curves: [
          {
            label: "a & b",
            points: [
              [0, 0],
              [1, Number.NaN],
              [2, 10],
            ],
          },
        ],
        ticks: [
          { x: 0, label: "0" },
          { x: 2, label: "end" },
        ],
      },
    ]);
    const points = /points="([^"]*)"/u
      .exec(drawn)?.[1]
      ?.split(" ")
      .map((pair) => pair.split(",").map(Number));
    expect(points).toHaveLength(2);
    const [[x0, y0], [x1, y1]] = points as [[number, number], [number, number]];
    expect(x1).toBeGreaterThan(x0);
    expect(y1).toBeLessThan(y0);
    expect(drawn).toContain("&lt;caption&gt;");
    expect(drawn).toContain("a &amp; b");
    expect(drawn).not.toContain("NaN");
  });

  it("of nothing are an empty diagram", () => {
    const drawn = plotCurves("", [
      { title: "none", unit: "ms", curves: [{ label: "", points: [] }], ticks: [] },
    ]);
    expect(drawn).not.toMatch(/NaN|Infinity/u);
  });
});
