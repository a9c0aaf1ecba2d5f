import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { findPython } from "../../src/sock/python.ts";
import { accounts, forgetAccounts } from "../support/accounts.ts";
import { TestCluster } from "../support/cluster.ts";

let directory: string;
let real: string;

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "ol-python-"));
  real = (await findPython()).path;
});

afterAll(async () => {
  await forgetAccounts();
  await rm(directory, { recursive: true });
});

/** A virtual environment in which a file runs code of its own at the start of any Python that looks there. */
const virtualEnvironment = async (...options: string[]): Promise<{ python: string; touched: string }> => {
  const place = path.join(directory, `venv${options.join("")}`);
  execFileSync(real, ["-m", "venv", "--without-pip", ...options, place]);
  const touched = path.join(place, "touched");
  const [version = ""] = await readdir(path.join(place, "lib"));
  const code = `import pathlib; pathlib.Path(${JSON.stringify(touched)}).touch()\n`;
  await writeFile(path.join(place, "lib", version, "site-packages/evil.pth"), code);
  return { python: path.join(place, "bin/python3"), touched };
};

describe("a Python", () => {
  it("behind a link is found by its real path", async () => {
    const link = path.join(directory, "python3");
    await symlink(real, link);
    expect(await findPython(link)).toEqual(await findPython(real));
    expect(real).toBe(await realpath(real));
  });

  it.each([[[]], [["--copies"]]])(
    "of a virtual environment made with %j stands for the one it was made from, and its .pth files are not run",
    async (options) => {
      const { python, touched } = await virtualEnvironment(...options);
      // The control: whoever starts it in the usual way runs them.
      execFileSync(python, ["-c", "pass"]);
      expect(existsSync(touched)).toBe(true);
      await rm(touched);
      expect((await findPython(python)).path).toBe(real);
      const account = (await accounts())[0];
      if (account === undefined) throw new Error("nobody to run it as");
      await using cluster = await TestCluster.create(account);
      await using worker = await cluster.start({ engine: { python } });
      expect(await worker.call({ handler: "hello", event: 1 })).toBe(1);
      expect(existsSync(touched)).toBe(false);
    },
  );

  it("that cannot be started is refused with its own words", async () => {
    const broken = path.join(directory, "broken");
    await writeFile(broken, "#!/bin/sh\necho 'error while loading shared libraries' >&2\nexit 127\n", {
      mode: 0o755,
    });
    await expect(findPython(broken)).rejects.toMatchObject({
      code: "OL_SANDBOX_HOST_UNFIT",
      message: expect.stringContaining("error while loading shared libraries") as string,
    });
  });
});
