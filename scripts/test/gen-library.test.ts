import { describe, expect, it } from "vitest";

import { problemsOf, renderPage, splitDoc, unitOf } from "../lib/library-text.mjs";

interface FakeMember {
  readonly name: string;
  readonly doc: string;
  readonly type?: string;
  readonly optional?: boolean;
}

/** Stands for what is declared in the sources. */
const declared = (declarations: Readonly<Record<string, readonly FakeMember[]>>) => ({
  get: (name: string) => {
    const members = declarations[name];
    if (members === undefined) throw new Error(`nothing named ${name} is declared`);
    return {
      name,
      kind: "interface",
      doc: `About ${name}.`,
      text: "",
      extends: [],
      members: members.map((member) => ({
        kind: "property",
        type: "string",
        optional: false,
        isStatic: false,
        signature: "",
        ...member,
      })),
    };
  },
});

describe("a doc comment of an option", () => {
  it("is taken apart into what it is, its default, and what happens at it", () => {
    expect(splitDoc("Longest wait, in ms; default 10,000. At the limit: OL_SANDBOX_NO_MEMORY.")).toEqual({
      about: "Longest wait, in ms.",
      default: "10,000",
      limit: "OL_SANDBOX_NO_MEMORY",
    });
    expect(splitDoc("Calls that may wait.\nDefault 1,000. At the limit: refused; the queue stays.")).toEqual({
      about: "Calls that may wait.",
      default: "1,000",
      limit: "refused; the queue stays",
    });
    expect(splitDoc("How many. It is 1.25 MiB. Default: `slots`, more are no use.")).toEqual({
      about: "How many. It is 1.25 MiB.",
      default: "`slots`, more are no use",
      limit: undefined,
    });
    expect(splitDoc("What it is by default nobody says.")).toMatchObject({ default: undefined });
  });

  it("has its unit from its name", () => {
    expect(["waitMs", "memoryMb", "maxUnreadBytes", "runtimeSec", "slots"].map(unitOf)).toEqual([
      "ms",
      "MB",
      "bytes",
      "s",
      "",
    ]);
  });
});

describe("a page of the library", () => {
  const page = { file: "thing", title: "Thing", package: "@ol/sandbox", options: ["ThingOptions"] };

  it("is refused if an option says too little", () => {
    const declarations = declared({
      ThingOptions: [
        { name: "silent", doc: "" },
        { name: "optional", doc: "May be left out.", optional: true },
        { name: "waitMs", doc: "How long; default 5.", type: "number", optional: true },
        { name: "fine", doc: "How long; default 5. At the limit: it ends.", type: "number", optional: true },
      ],
    });
    expect(problemsOf(page, declarations)).toEqual([
      "ThingOptions.silent has no doc comment",
      "ThingOptions.optional does not say its default",
      "ThingOptions.waitMs does not say what happens at it",
    ]);
  });

  it("has a line for each option, with type, unit, default and limit", () => {
    const declarations = declared({
      ThingOptions: [
        {
          name: "waitMs",
          doc: "How long; default 5. At the limit: it ends.",
          type: "number",
          optional: true,
        },
        { name: "mode", doc: "How.", type: '"a" | "b"' },
      ],
    });
    const text = renderPage(page, declarations);
    expect(text).toContain("| `waitMs` | `number` | ms | 5 | How long. | it ends |");
    expect(text).toContain('| `mode` | `"a" \\| "b"` |  | needed | How. |  |');
  });

  it("is refused if a member of what users implement says nothing", () => {
    const declarations = declared({
      Thing: [
        { name: "told", doc: "It was told." },
        { name: "silent", doc: "" },
      ],
    });
    const implemented = { file: "thing", title: "Thing", package: "@ol/sandbox", implement: ["Thing"] };
    expect(problemsOf(implemented, declarations)).toEqual(["Thing.silent has no doc comment"]);
  });
});
