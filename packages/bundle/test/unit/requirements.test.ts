import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { lineOf, parseRequirements, requirementsDigest } from "../../src/index.ts";

const HASH = "0123456789abcdef".repeat(4);
const OTHER_HASH = "f".repeat(64);

const parse = (text: string, allowUrls = false) => parseRequirements(text, "packages.txt", { allowUrls });

const textsOf = (text: string): string[] => parse(text).map((one) => one.text);

const digestOf = (text: string): string => requirementsDigest(parse(text));

const problemsOf = (text: string, allowUrls = false): string[] => {
  try {
    parse(text, allowUrls);
  } catch (error) {
    expect(error).toMatchObject({ code: "OL_BUNDLE_BAD_REQUIREMENTS", status: 500, causedBy: "user" });
    return (error as Error).message.split("\n");
  }
  return [];
};

describe("a requirement", () => {
  test("is taken apart", () => {
    const line = `bs4 : Beautiful_Soup.4[LXML,html5lib] == 4.12.0 ; python_version<'3.12' --hash=sha256:${HASH}`;
    expect(parse(`\n# the parser\n${line}`)).toEqual([
      {
        name: "beautiful-soup-4",
        extras: ["html5lib", "lxml"],
        specifier: "==4.12.0",
        marker: 'python_version < "3.12"',
        text: 'beautiful-soup-4[html5lib,lxml]==4.12.0; python_version < "3.12"',
        modules: ["bs4"],
        hashes: [HASH],
        line: 3,
      },
    ]);
  });

  test.each([
    ["requests", "requests"],
    ["Foo__Bar.baz", "foo-bar-baz"],
    ["requests>=2.31,<3", "requests<3,>=2.31"],
    ["requests (>=2.31, < 3)", "requests<3,>=2.31"],
    ["requests ~= 2.31,", "requests~=2.31"],
    ["numpy==1.26.*", "numpy==1.26.*"],
    ["numpy!=1.26.*,!=1.25", "numpy!=1.25,!=1.26.*"],
    ["torch==2.1.0+CPU", "torch==2.1.0+cpu"],
    ["pytz==2023.3.post1", "pytz==2023.3.post1"],
    ["x==V1.0-Alpha.01", "x==1.0a1"],
    ["x==01.02-3.dev", "x==1.2.post3.dev0"],
    ["x==2!1.0rc1", "x==2!1.0rc1"],
    ["x===1.0-legacy", "x===1.0-legacy"],
    ["x[]", "x"],
    ["x [ b , A ] >1", "x[a,b]>1"],
    ["x;os_name=='nt'", 'x; os_name == "nt"'],
    [
      "x; ((os.name=='nt')) and python_implementation in 'a b'",
      'x; os_name == "nt" and platform_python_implementation in "a b"',
    ],
    [
      "x; (os_name=='a' or os_name=='b') and 'c' not  in sys_platform",
      'x; (os_name == "a" or os_name == "b") and "c" not in sys_platform',
    ],
    [
      "x; os_name=='a' or (os_name=='b' and os_name=='c')",
      'x; os_name == "a" or os_name == "b" and os_name == "c"',
    ],
    [`x; os_name=='"'`, `x; os_name == '"'`],
    ["sklearn:scikit-learn", "scikit-learn"],
    ["google.cloud.storage : google-cloud-storage>2", "google-cloud-storage>2"],
    ["x==1.0 # why", "x==1.0"],
    ["x>=1,\\\n  <2", "x<2,>=1"],
    ["x \\\n# a comment ends it \\\n", "x"],
    ["x>1 \\", "x>1"],
    ["\uFEFFx\r\n", "x"],
  ])("%j is %j", (line, text) => {
    expect(textsOf(line)).toEqual([text]);
    expect(textsOf(text)).toEqual([text]);
  });

  test("by URL is taken if that is allowed: a wheel, by https, with its digest", () => {
    const url = `https://example.org/a;b/x-1.0-py3-none-any.whl#sha256=${HASH}`;
    expect(parse(`X [a] @ ${url.replace("9ab", "9AB")} ; os_name=='nt'`, true)).toMatchObject([
      { name: "x", specifier: "", url, text: `x[a] @ ${url} ; os_name == "nt"` },
    ]);
    expect(problemsOf(`x @ ${url}`)).toEqual([expect.stringContaining("names a URL")]);
  });

  test.each([
    ["x @ http://example.org/x.whl", "no https:// URL"],
    ["x @", "no https:// URL"],
    ["x @ https://example.org/x.whl", "#sha256="],
    [`x @ https://example.org/x.whl#egg=x&sha256=${HASH}`, "#sha256="],
    [`x @ https://user:secret@example.org/x.whl#sha256=${HASH}`, "password"],
    [`x @ https://example.org/x.tar.gz#sha256=${HASH}`, "no wheel"],
    [`x @ https://exa'mple.org/x.whl#sha256=${HASH}`, "not valid"],
    [`x @ https:///#sha256=${HASH}`, "not valid"],
    [`x==1 @ https://example.org/x.whl#sha256=${HASH}`, "no part of a requirement"],
    [`https://example.org/x.whl#sha256=${HASH}`, "write NAME @ URL"],
  ])("%j is refused where URLs are allowed", (line, why) => {
    expect(problemsOf(line, true)).toEqual([expect.stringContaining(why)]);
    expect(problemsOf(line, true)[0]).not.toContain("secret");
  });

  test("is told apart from another of the same name by its marker only", () => {
    const lines = ["x==1; os_name=='nt'", "x==2; os_name=='posix'", "x"];
    expect(textsOf(lines.join("\n"))).toHaveLength(3);
    expect(problemsOf("x>1\ny\nX>2")).toEqual([
      'packages.txt:3: x is there twice, as "x>1" in line 1 and as "x>2"; keep one',
    ]);
    expect(problemsOf(`x==1 --hash=sha256:${HASH}\nx==1`)).toHaveLength(1);
  });

  test("that is there twice is taken once, with the modules of both", () => {
    const text = "setuptools:setuptools>60\npkg_resources : Setuptools > 60\nsetuptools>60.0\n";
    expect(problemsOf(text)).toHaveLength(1);
    expect(parse(text.replace("60.0", "60"))).toMatchObject([
      { text: "setuptools>60", modules: ["pkg_resources", "setuptools"], line: 1 },
    ]);
  });

  test("may have hashes, over several lines", () => {
    const text = `x==1.0 \\\n    --hash=sha256:${OTHER_HASH} \\\n    --hash sha256:${HASH.toUpperCase()}\n    # via y\ny\n`;
    expect(parse(text)).toMatchObject([
      { text: "x==1.0", hashes: [HASH, OTHER_HASH] },
      { text: "y", hashes: [] },
    ]);
  });
});

describe("a line that is not taken", () => {
  test.each([
    ["-e .", "-e, which is not taken"],
    ["--editable=git+https://example.org/x", "--editable, which is not taken"],
    ["-r other.txt", "copy the other's lines"],
    ["-rother.txt", "copy the other's lines"],
    ["--requirement=other.txt", "copy the other's lines"],
    ["-c other.txt", "copy the other's lines"],
    ["--constraint other.txt", "copy the other's lines"],
    ["-i https://example.org", "pip_mirror"],
    ["--index-url https://example.org", "pip_mirror"],
    ["--extra-index-url=https://user:secret@example.org", "pip_mirror"],
    ["-f .", "pip_mirror"],
    ["--find-links .", "pip_mirror"],
    ["--trusted-host example.org", "pip_mirror"],
    ["--no-index", "pip_mirror"],
    ["--pre", "the only option"],
    ["x --global-option=y", "the only option"],
    ["x - 1", "the only option"],
    [`--hash=sha256:${HASH}`, "no package"],
    [`x>1 --hash=sha256:${HASH}`, "write x==VERSION"],
    [`x==1.* --hash=sha256:${HASH}`, "write x==VERSION"],
    ["x==1 --hash=md5:0", "64 hex digits"],
    ["x==1 --hash", "64 hex digits"],
    ["./x", "is a path"],
    ["../x", "is a path"],
    ["/x", "is a path"],
    ["~/x", "is a path"],
    ["a/b", "is a path"],
    ["C:\\x", "is a path"],
    ["x:./y", "is a path"],
    ["x-1.0-py3-none-any.whl", "is a path"],
    ["x-1.0.tar.gz[a] ; os_name=='nt'", "is a path"],
    ["file:x", "is a URL"],
    ["https://example.org/x.whl", "is a URL"],
    ["git+https://example.org/x", "is a URL"],
    ["x @ https://example.org/x.whl", "names a URL"],
    ["x=1.2", "write ==1.2"],
    ["x = 1.2", "write ==1.2"],
    ["x=", "write == and a version"],
    ["x=>1", "write >=1"],
    ["x 1.2", "write ==1.2"],
    ["x^1.2", "versions are compared by"],
    ["x~1.2", "versions are compared by"],
    ["x>=1 <2", "a comma belongs"],
    ["x>=1<2", "a comma belongs"],
    ["x y", "a line of its own"],
    ["x,y", "no part of a requirement"],
    ["x>=", 'no version behind ">="'],
    ["x<>1", 'no version behind "<"'],
    ["x==latest", "names no version"],
    [`x==${"1".repeat(101)}`, "names no version"],
    ["x>=1.*", "write >=1"],
    ["x==1.0a1.*", "belongs behind numbers only"],
    ["x>=1+cpu", "leave out what follows it"],
    ["x~=1", "write ~=1.0"],
    ["x===a\\b", "cannot be a version"],
    ["x (>1", 'lacks a ")" at its end'],
    ["x[a", "no list of extras at its end"],
    ["x[a b]", 'no list of extras at " b]"'],
    ["x[a,]", 'no list of extras at "]"'],
    ["x[-a]", "no list of extras"],
    ["x;", "no variable and no text in quotes at its end"],
    ["x; python_version", "no comparison at its end"],
    ["x; python_version > 3", 'at "3"'],
    ["x; python_version > '3", `at "'3"`],
    ["x; python > '3'", 'the word "python"'],
    ["x; constructor > '3'", 'the word "constructor"'],
    ["x; '3' > '2'", "does not compare a variable"],
    ["x; os_name > os_name", "does not compare a variable"],
    ["x; (os_name > '3'", 'lacks a ")"'],
    ["x; os_name > '3')", 'has ")" behind the condition'],
    ["x; os_name > '3' os_name > '4'", "behind the condition"],
    ["bs4:", "no package behind its colon"],
    ["bs4:bs4:bs4", 'has ":bs4"'],
    ["1a:x", 'has ":x"'],
    ["=1", "does not begin with a package's name"],
    ["_x", "does not begin with a package's name"],
    ["x-", "does not begin with a package's name"],
    ["x".repeat(129), "does not begin with a package's name"],
    ["naïve", "U+00EF"],
    ["x\u00a0>1", "U+00A0"],
    ["x\u{1F600}", "U+1F600"],
    ["x\ud800", "U+D800"],
    ["${SECRET}==1", "a variable of the environment"],
    ["x\0", "control character"],
    ["x # \u2028y", "control character"],
    ["x\u000cy", "control character"],
    ["x>1 \\ ", 'has "\\\\"'],
  ])("%j is refused with what is wrong with it", (line, why) => {
    const problems = problemsOf(`ok\n\n${line}\n`);
    expect(problems).toEqual([expect.stringContaining(why)]);
    expect(problems[0]).toMatch(/^packages\.txt:3: [^\n]+$/u);
    expect(problems[0]?.length).toBeLessThan(400);
    expect(problems[0]).not.toContain("secret");
  });

  test("does not hide the others: all are named, in the order of the file", () => {
    expect(problemsOf("a=1\nb\nc~1\n").map((problem) => problem.slice(0, 15))).toEqual([
      "packages.txt:1:",
      "packages.txt:3:",
    ]);
    expect(problemsOf("a=1\n".repeat(50))).toHaveLength(21);
  });
});

describe("a requirements file", () => {
  test.each([
    ["has 1,001 packages", Array.from({ length: 1_001 }, (_, i) => `x${i}`).join("\n"), /more than 1000/u],
    ["has 100,000 empty lines", "\n".repeat(100_000), /larger than 64 KiB/u],
    ["is one line of a megabyte", "x".repeat(1_048_576), /larger than 64 KiB/u],
    ["is more than 64 KiB of wide characters", `#${"é".repeat(33_000)}`, /larger than 64 KiB/u],
    ["is a long line of backslashes", `${"\\".repeat(65_000)}x\\`, /is a path/u],
    ["is a long line of spaces", `x${" ".repeat(65_000)}y`, /line of its own/u],
    ["is full of parentheses", `x; ${"(".repeat(65_000)}`, /20 parentheses/u],
    ["is full of versions", `x${">1,".repeat(16_000)}y`, /line of its own/u],
    ["is full of options", `x==1${" --hash=".repeat(8_000)}`, /64 hex digits/u],
  ])("that %s is refused at once", (_name, text, why) => {
    const start = performance.now();
    const problems = problemsOf(text);
    expect(problems.at(-1)).toMatch(why);
    expect(problems.join("\n").length).toBeLessThan(5_000);
    expect(performance.now() - start).toBeLessThan(3_000);
  });

  test("of 1,000 packages is taken", () => {
    expect(parse(Array.from({ length: 1_000 }, (_, i) => `x${i}`).join("\n"))).toHaveLength(1_000);
  });

  test("that is any text is parsed or refused with its mistakes, never anything else", () => {
    const word = fc.constantFrom(
      "x",
      "==",
      "1.0",
      " ",
      ";",
      "[",
      "]",
      "(",
      ")",
      ",",
      "#",
      "\\",
      "\n",
      "@",
      "'3'",
      ":",
      "-r",
      "os_name",
      "and",
      "\r",
      "é",
      "\0",
    );
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(word).map((words) => words.join("")),
    );
    fc.assert(
      fc.property(text, (some) => {
        const problems = problemsOf(some);
        for (const problem of problems) expect(problem).toMatch(/^packages\.txt:\d+: .+$/u);
        if (problems.length > 0) return;
        const found = parse(some);
        const again = found.map(lineOf).join("\n");
        expect(again).toMatch(/^[\n\x20-\x7e]*$/u);
        expect(parse(again).map(lineOf)).toEqual(found.map(lineOf));
      }),
    );
  });
});

describe("the digest of requirements", () => {
  test("does not depend on order, spacing, spelling, comments or modules", () => {
    expect(digestOf("a>=1,<2\nb==1.0\n")).toBe(digestOf("# b\nmod : B == v1.0 # this\n\nA (<2,  >=1)\r\n"));
    expect(digestOf("a")).toMatch(/^[0-9a-f]{64}$/u);
  });

  test.each([
    "a",
    "b>1",
    "a>1; os_name == 'nt'",
    "a[x]>1",
    "a>=1",
    `a==1`,
    `a==1 --hash=sha256:${HASH}`,
    "a>1\nb",
  ])("%j has another one than a>1", (text) => {
    expect(digestOf(text)).not.toBe(digestOf("a>1"));
  });
});
