import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { checkSpecification, declaresTest } from "../check-spec.mjs";

let root = "";

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "ol-spec-"));
  await writeFile(
    join(root, "a.test.ts"),
    'describe("a group", () => {\n  it("says \\"hi\\"", () => {});\n});\n',
  );
  await writeFile(join(root, "test_a.py"), "class T:\n    def test_b(self):\n        pass\n");
});

afterEach(() => rm(root, { recursive: true }));

describe("check-spec", () => {
  it("accepts promises whose tests exist", async () => {
    const text =
      '# Spec\n\nWords.\n\n- **A1** It greets.\n  - `a.test.ts`: says "hi"\n  - `test_a.py`: test_b\n';
    expect(await checkSpecification(text, root)).toEqual([]);
  });

  it("refuses a promise without a test, a missing file and a title that no test has", async () => {
    const text =
      "- **A1** One.\n- **A2** Two.\n  - `b.test.ts`: x\n- **A3** Three.\n  - `a.test.ts`: a group\n- **A3** Four.\n  - `test_a.py`: test_c\n";
    expect(await checkSpecification(text, root)).toEqual([
      "line 1: A1 names no test",
      "line 2: A2 names b.test.ts, which does not exist",
      "line 4: A3: a.test.ts has no test named: a group",
      "line 6: A3 is there twice",
      "line 6: A3: test_a.py has no test named: test_c",
    ]);
  });

  it("refuses a list entry that it cannot read, and a page without promises", async () => {
    expect(await checkSpecification("- just words\n", root)).toEqual([
      'line 1 is neither "- **ID** promise" nor "  - `file`: title"',
      "no promise found",
    ]);
  });
});

describe("declaresTest", () => {
  it("knows a title by it, test and it.each, and not by a mention elsewhere", () => {
    expect(declaresTest('it.each([\n  [1],\n])("counts %i", () => {})', "counts %i", "x.ts")).toBe(true);
    expect(declaresTest('test(\n  "waits", () => {})', "waits", "x.ts")).toBe(true);
    expect(declaresTest('  {\n    title: "waits",\n', "waits", "x.ts")).toBe(true);
    expect(declaresTest('const name = "waits";', "waits", "x.ts")).toBe(false);
  });
});
