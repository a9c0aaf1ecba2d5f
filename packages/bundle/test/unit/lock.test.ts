import { isOlError } from "@ol/common";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { closure, formatLock, type Lock, MAX_LOCK_BYTES, parseLock, type Pin } from "../../src/index.ts";

const DIGEST = "0123456789abcdef".repeat(4);
const A = "a".repeat(64);
const B = "b".repeat(64);

const pin = (name: string, requires: readonly string[] = [], version = "1.0"): Pin => ({
  name,
  version,
  hashes: [A],
  requires,
});

const lockOf = (...pins: readonly Pin[]): Lock => ({
  python: "3.11",
  machine: "x86_64",
  requirements: DIGEST,
  pins,
});

const EXAMPLE: Lock = lockOf(
  { name: "anyio", version: "4.0.0", hashes: [A, B], requires: ["idna", "sniffio"] },
  pin("idna", [], "1!3.4+local.1"),
  pin("sniffio", ["anyio"]),
);

const EXAMPLE_TEXT = `# ol-lock 1
# python 3.11 x86_64
# requirements ${DIGEST}
anyio==4.0.0 \\
    --hash=sha256:${A} \\
    --hash=sha256:${B}
    # requires idna, sniffio
idna==1!3.4+local.1 \\
    --hash=sha256:${A}
sniffio==1.0 \\
    --hash=sha256:${A}
    # requires anyio
`;

const badLock = (message: RegExp): Error =>
  expect.objectContaining({
    code: "OL_BUNDLE_BAD_LOCK",
    message: expect.stringMatching(message) as string,
  }) as Error;

/** Undefined if it was refused as it ought to be. */
const readOrRefuse = (text: string): Lock | undefined => {
  try {
    return parseLock(text);
  } catch (error) {
    if (isOlError(error, "OL_BUNDLE_BAD_LOCK")) return undefined;
    throw error;
  }
};

/** One of a chain. */
const linkName = (at: number): string => `x${String(at).padStart(4, "0")}`;

const hash = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString("hex"));

const version = fc
  .record({
    epoch: fc.constantFrom("", "", "2!"),
    release: fc.array(fc.nat(3_000), { minLength: 1, maxLength: 4 }),
    more: fc.constantFrom("", "", "a1", "rc2", ".post3", ".dev0", "b1.post2.dev3"),
    local: fc.constantFrom("", "", "+cpu", "+ubuntu.1"),
  })
  .map(({ epoch, release, more, local }) => epoch + release.join(".") + more + local);

const lock: fc.Arbitrary<Lock> = fc
  .uniqueArray(fc.stringMatching(/^[a-z0-9]{1,4}(?:-[a-z0-9]{1,3}){0,2}$/u), { maxLength: 8 })
  .map((names) => names.sort())
  .chain((names) =>
    fc.tuple(
      ...names.map((name) =>
        fc.record({
          name: fc.constant(name),
          version,
          hashes: fc.uniqueArray(hash, { minLength: 1, maxLength: 3 }).map((hashes) => hashes.sort()),
          requires: fc.subarray(names),
        }),
      ),
    ),
  )
  .map((pins) => lockOf(...pins));

describe("a lock", () => {
  test("is a requirements file with hashes", () => {
    expect(formatLock(EXAMPLE)).toBe(EXAMPLE_TEXT);
    expect(parseLock(EXAMPLE_TEXT)).toEqual(EXAMPLE);
  });

  test("comes back as it was written", () => {
    fc.assert(
      fc.property(lock, (some) => {
        expect(parseLock(formatLock(some))).toEqual(some);
      }),
    );
  });

  test("is written in one way, whatever the order", () => {
    const [anyio, ...others] = EXAMPLE.pins as [Pin, ...Pin[]];
    const turned = { ...anyio, hashes: [B, A], requires: ["sniffio", "idna"] };
    expect(formatLock(lockOf(...others.reverse(), turned))).toBe(EXAMPLE_TEXT);
  });

  test("without packages is a lock", () => {
    expect(parseLock(formatLock(lockOf()))).toEqual(lockOf());
  });

  test.each([
    ["another format", "# ol-lock 1", "# ol-lock 2"],
    ["no Python", "# python 3.11 x86_64\n", ""],
    ["an odd Python", "python 3.11", "python 3.11;"],
    ["an odd machine", "x86_64", "X86/64"],
    ["requirements that are no digest", DIGEST, DIGEST.slice(1)],
    ["a name in another spelling", "anyio==", "Anyio=="],
    ["a name that leads out", "anyio==", "../anyio=="],
    ["a version in another spelling", "4.0.0", "v4.0.0"],
    ["a version that is none", "4.0.0", "../4"],
    ["no hash", ` \\\n    --hash=sha256:${A}\nsniffio`, "\nsniffio"],
    ["a hash of another kind", `sha256:${A}\nsniffio`, `md5:${A}\nsniffio`],
    ["a hash in capitals", `${A}\nsniffio`, `${A.toUpperCase()}\nsniffio`],
    ["hashes out of order", `${A} \\\n    --hash=sha256:${B}`, `${B} \\\n    --hash=sha256:${A}`],
    ["a hash twice", `sha256:${B}`, `sha256:${A}`],
    ["hashes that go on in nothing", `${A}\nsniffio`, `${A} \\\nsniffio`],
    ["a package twice", "idna==1!3.4+local.1", "anyio==1.0"],
    ["packages out of order", "sniffio==1.0", "aaa==1.0"],
    ["a requirement that is not pinned", "requires anyio", "requires nothing"],
    ["requirements out of order", "idna, sniffio", "sniffio, idna"],
    ["requirements spaced otherwise", "idna, sniffio", "idna,sniffio"],
    ["an empty requirement", "requires anyio", "requires "],
    ["a comment of its own", "idna==", "# mine\nidna=="],
    ["an option", "idna==", "--index-url https://example.org\nidna=="],
    ["an empty line", "idna==", "\nidna=="],
    ["line ends of Windows", "# ol-lock 1\n", "# ol-lock 1\r\n"],
    ["a BOM", "# ol-lock 1", "\uFEFF# ol-lock 1"],
    ["NULs", "sniffio==1.0", "sniffio==1.0\0"],
  ])("with %s is refused by its line", (_name, part, other) => {
    const text = EXAMPLE_TEXT.replace(part, other);
    expect(text).not.toBe(EXAMPLE_TEXT);
    expect(() => parseLock(text, "a.lock")).toThrowError(badLock(/^a\.lock:\d+: [^\n]+$/u));
  });

  test("that was cut off within a line is refused", () => {
    const lengths = Array.from(EXAMPLE_TEXT.slice(1), (_, at) => at + 1);
    const within = lengths.filter((length) => EXAMPLE_TEXT[length - 1] !== "\n");
    expect(within.filter((length) => readOrRefuse(EXAMPLE_TEXT.slice(0, length)) !== undefined)).toEqual([]);
  });

  test("that is any text, or a lock with odd bytes in it, is refused or means what it says", () => {
    const changed = fc
      .tuple(
        lock,
        fc.nat(),
        fc.nat(3),
        fc.oneof(fc.string({ unit: "binary", maxLength: 3 }), fc.constantFrom("\n", " \\", ", ", "==")),
      )
      .map(([some, at, cut, text]) => {
        const whole = formatLock(some);
        const from = at % whole.length;
        return whole.slice(0, from) + text + whole.slice(from + cut);
      });
    fc.assert(
      fc.property(fc.oneof(changed, fc.string({ unit: "binary" })), (text) => {
        const read = readOrRefuse(text);
        expect(read === undefined ? text : formatLock(read)).toBe(text);
      }),
      { numRuns: 500 },
    );
  });

  test("that is too large is refused", () => {
    const text = EXAMPLE_TEXT + "x".repeat(MAX_LOCK_BYTES);
    expect(() => parseLock(text)).toThrowError(badLock(/^the lock:1: is larger than 4 MiB$/u));
  });

  test.each<[string, Lock]>([
    ["a name with a line end", lockOf(pin("a\nb"))],
    ["a version with a line end", lockOf(pin("a", [], "1\n--index-url x"))],
    ["a pin without a hash", lockOf({ ...pin("a"), hashes: [] })],
    ["a requirement that is not pinned", lockOf(pin("a", ["b"]))],
    ["a package twice", lockOf(pin("a"), pin("a", [], "2.0"))],
    ["an odd Python", { ...lockOf(), python: "3.11\n" }],
  ])("with %s is not written", (_name, some) => {
    expect(() => formatLock(some)).toThrowError(badLock(/^not a /u));
  });
});

describe("what pins need", () => {
  const CYCLE = lockOf(
    pin("a", ["b"]),
    pin("b", ["c"]),
    pin("c", ["a", "d"]),
    pin("d"),
    pin("e", ["d", "e"]),
  );
  const namesOf = (names: readonly string[]): string[] => closure(CYCLE, names).map(({ name }) => name);

  test("is found over several steps and in circles", () => {
    expect(namesOf([])).toEqual([]);
    expect(namesOf(["d"])).toEqual(["d"]);
    expect(namesOf(["b"])).toEqual(["a", "b", "c", "d"]);
    expect(namesOf(["e", "d", "e"])).toEqual(["d", "e"]);
  });

  test("is not known of a name that is not pinned", () => {
    expect(() => namesOf(["a", "x"])).toThrowError(badLock(/no pin for "x"/u));
  });

  test("is found along a chain of thousands", () => {
    const chain = Array.from({ length: 5_000 }, (_, i) =>
      pin(linkName(i), i < 4_999 ? [linkName(i + 1)] : []),
    );
    expect(closure(lockOf(...chain), [linkName(0)])).toHaveLength(5_000);
  });

  test("is closed, and holds nothing that nobody needs", () => {
    fc.assert(
      fc.property(lock, fc.nat(), (some, at) => {
        if (some.pins.length === 0) return;
        const { name } = some.pins[at % some.pins.length] as Pin;
        const found = closure(some, [name]);
        const names = new Set(found.map((one) => one.name));
        for (const { requires } of found) for (const other of requires) expect(names).toContain(other);
        for (const one of found) {
          const needed = one.name === name || found.some(({ requires }) => requires.includes(one.name));
          expect(needed).toBe(true);
        }
      }),
    );
  });
});
