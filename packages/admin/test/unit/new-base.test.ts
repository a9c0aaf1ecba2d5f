import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { type Outcome, admin, temporaryDirectory } from "../support/harness.ts";

const templateIn = (cwd: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(cwd, "c/config/template.json"), "utf8")) as Record<string, unknown>;

describe("new --base", () => {
  test.each([[[]], [["--base=host"]]])(
    "with %j leaves the base empty, which is this machine's own",
    async (tokens) => {
      const cwd = temporaryDirectory();
      expect((await admin(["new", "--cluster=c", ...tokens], { cwd })).code).toBe(0);
      expect(readdirSync(join(cwd, "c/base"))).toEqual([]);
      expect(templateIn(cwd)).not.toHaveProperty("sock_base_path");
    },
  );

  test("with a directory writes its absolute path into the template", async () => {
    const cwd = temporaryDirectory();
    mkdirSync(join(cwd, "root/usr"), { recursive: true });
    expect((await admin(["new", "--cluster=c", "--base=./root"], { cwd })).code).toBe(0);
    expect(templateIn(cwd)).toMatchObject({ sock_base_path: join(cwd, "root") });
  });

  test.each(["root.tar", "root.tar.gz"])(
    "with the archive %s unpacks it, and says how to check it",
    async (name) => {
      const cwd = temporaryDirectory();
      mkdirSync(join(cwd, "root/usr"), { recursive: true });
      writeFileSync(join(cwd, "root/usr/file"), "of the archive");
      execFileSync("tar", ["-caf", join(cwd, name), "-C", join(cwd, "root"), "."]);
      const outcome = await admin(["new", "--cluster=c", `--base=${name}`], { cwd });
      expect(outcome.code).toBe(0);
      expect(outcome.stderr).toContain("npx ol-admin base check --cluster=c\n");
      expect(readFileSync(join(cwd, "c/base/usr/file"), "utf8")).toBe("of the archive");
      expect(templateIn(cwd)).not.toHaveProperty("sock_base_path");
    },
  );

  test.each([
    ["nowhere", /^--base="[^"]*\/nowhere": there is none \(ENOENT\); it must be host, /u],
    ["file", /^"[^"]*\/file" cannot be unpacked: it ends too early$/mu],
    [
      "file/below",
      /^--base="[^"]*\/below": something in its path is no directory \(ENOTDIR\); it must be host, /u,
    ],
    ["empty", /^--base="[^"]*\/empty" has nothing in it; /u],
  ])("with %s says what is wrong in one line, and makes nothing", async (base, message) => {
    const cwd = temporaryDirectory();
    mkdirSync(join(cwd, "empty"));
    writeFileSync(join(cwd, "file"), "");
    const outcome = await admin(["new", "--cluster=c", `--base=${base}`], { cwd });
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).toMatch(/^[^\n]+\n$/u);
    expect(readdirSync(cwd).sort()).toEqual(["empty", "file"]);
  });
});

type Programs = Readonly<Record<string, string>>;

/** Runs `new --base=debootstrap:SUITE` with programs of these names first on PATH, each a script. */
const bootstrap = (cwd: string, programs: Programs, path?: string): Promise<Outcome> => {
  const bin = temporaryDirectory();
  for (const [name, script] of Object.entries(programs)) {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const environment = { PATH: `${bin}:${path ?? process.env["PATH"] ?? ""}` };
  return admin(["new", "--cluster=c", "--base=debootstrap:trixie"], { cwd, environment });
};

// The last two arguments of both are the suite and what to write: an archive, or a directory.
const MMDEBSTRAP = `
for archive; do suite=$last; last=$archive; done
tree=$(mktemp -d) && mkdir -p "$tree/usr/share" "$tree/dev" && echo "$suite" > "$tree/usr/share/suite" &&
touch "$tree/dev/null" "$tree/usr/su" && chmod 6777 "$tree/usr/su" && tar -c -f "$archive" -C "$tree" . && rm -r "$tree"`;
const DEBOOTSTRAP = `
for directory; do suite=$last; last=$directory; done
/bin/mkdir -p "$directory/usr/share" && echo "$suite" > "$directory/usr/share/suite" &&
echo > "$directory/usr/su" && /bin/chmod 6777 "$directory/usr/su"`;
// The real one takes root's rights, and debootstrap has them only there.
const UNSHARE = 'test "$1 $2" = "--mount --" && shift 2 && exec "$@"';
const CHMOD = 'exec /bin/chmod "$@"';
const isRoot = process.getuid?.() === 0;

const MAKERS: readonly (readonly [string, Programs, string | undefined])[] = [
  ["mmdebstrap", { mmdebstrap: MMDEBSTRAP, newuidmap: "exit 1" }, undefined],
  ...(isRoot
    ? [["debootstrap", { debootstrap: DEBOOTSTRAP, unshare: UNSHARE, chmod: CHMOD }, "/nowhere"] as const]
    : []),
];

const LACKING: readonly (readonly [string, Programs, RegExp])[] = [
  ["a program to make it with", {}, /^--base=debootstrap:trixie needs mmdebstrap, [^\n]* uidmap\)\n$/u],
  ...(isRoot
    ? []
    : [
        [
          "uidmap",
          { mmdebstrap: MMDEBSTRAP },
          /^mmdebstrap needs newuidmap [^\n]* uidmap\)[^\n]*\n$/u,
        ] as const,
      ]),
];

describe("new --base=debootstrap:SUITE", () => {
  test.each(MAKERS)("has %s fill the cluster's base, devices left out", async (_name, programs, path) => {
    const cwd = temporaryDirectory();
    const outcome = await bootstrap(cwd, programs, path);
    expect(outcome).toMatchObject({ code: 0, stdout: `${join(cwd, "c")}\n` });
    expect(readFileSync(join(cwd, "c/base/usr/share/suite"), "utf8")).toBe("trixie\n");
    expect(existsSync(join(cwd, "c/base/dev/null"))).toBe(false);
    expect(statSync(join(cwd, "c/base/usr/su")).mode & 0o7777).toBe(0o755);
    expect(templateIn(cwd)).not.toHaveProperty("sock_base_path");
    expect(readdirSync(join(cwd, "c"))).not.toContain("base.tar");
  });

  test("leaves nothing when mmdebstrap fails, and says its first error", async () => {
    const cwd = temporaryDirectory();
    const script = `${MMDEBSTRAP}\necho 'E: no such suite' >&2; echo 'E: failed to run' >&2; exit 25`;
    const outcome = await bootstrap(cwd, { mmdebstrap: script, newuidmap: "exit 1" });
    expect(outcome).toEqual({ code: 1, stdout: "", stderr: "mmdebstrap failed: E: no such suite\n" });
    expect(readdirSync(cwd)).toEqual([]);
  });

  test("ends mmdebstrap when it is interrupted, and leaves nothing", async () => {
    const cwd = temporaryDirectory();
    const bin = temporaryDirectory();
    const begun = join(bin, "begun");
    const script = `#!/bin/sh\necho $$ > ${begun}\nexec sleep 60\n`;
    writeFileSync(join(bin, "mmdebstrap"), script, { mode: 0o755 });
    writeFileSync(join(bin, "newuidmap"), script, { mode: 0o755 });
    const interrupt = new AbortController();
    const environment = { PATH: `${bin}:${process.env["PATH"] ?? ""}` };
    const running = admin(["new", "--cluster=c", "--base=debootstrap:trixie"], {
      cwd,
      environment,
      signal: interrupt.signal,
    });
    await expect
      .poll(() => (existsSync(begun) ? readFileSync(begun, "utf8") : ""), { timeout: 8_000 })
      .toMatch(/\d\n/u);
    interrupt.abort();
    expect((await running).code).toBe(1);
    expect(() => process.kill(Number(readFileSync(begun, "utf8")), 0)).toThrow("ESRCH");
    expect(readdirSync(cwd)).toEqual([]);
  });

  test.each(LACKING)(
    "without %s says what to install, and makes nothing",
    async (_name, programs, message) => {
      const cwd = temporaryDirectory();
      const outcome = await bootstrap(cwd, programs, "/nowhere");
      expect(outcome).toMatchObject({ code: 1, stdout: "" });
      expect(outcome.stderr).toMatch(message);
      expect(readdirSync(cwd)).toEqual([]);
    },
  );
});
