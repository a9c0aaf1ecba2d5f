import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it, onTestFinished } from "vitest";

import { PackageIndex } from "../../packages/lambda/test/support/package-index/package-index.ts";
import { wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { freePorts } from "../../packages/common/src/index.ts";

const ADMIN = fileURLToPath(new URL("../../packages/admin/bin/ol-admin.js", import.meta.url));
const DAY_MS = 86_400_000;
const DISTRIBUTIONS = [
  wheel({ name: "ol_plain" }),
  wheel({ name: "ol_other", version: "2.5" }),
  wheel({ name: "ol_needs", requires: ["ol-plain"] }),
];

interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly messages: string;
}

/** A cluster with an index of its own, and ol-admin. */
class Cluster {
  readonly directory: string;
  readonly index: PackageIndex;

  static async make(config: Readonly<Record<string, unknown>> = {}): Promise<Cluster> {
    const index = await PackageIndex.start(DISTRIBUTIONS);
    onTestFinished(() => index[Symbol.asyncDispose]());
    const directory = mkdtempSync(join(tmpdir(), "ol-packages-"));
    const cluster = new Cluster(join(directory, "c"), index);
    onTestFinished(async () => {
      await cluster.admin("kill");
      rmSync(directory, { recursive: true, force: true });
    });
    await cluster.#done("new");
    const settings = { pip_mirror: index.url, mem_pool_mb: 2_000, registry_cache_ms: 300, ...config };
    await cluster.#done("setconf", JSON.stringify(settings));
    return cluster;
  }

  private constructor(directory: string, index: PackageIndex) {
    this.directory = directory;
    this.index = index;
  }

  /** Not synchronously: the index is served by this very process. */
  admin(...tokens: readonly string[]): Promise<Said> {
    const [command = "", ...rest] = tokens;
    const child = spawn(process.execPath, [ADMIN, command, `--cluster=${this.directory}`, ...rest], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let out = "";
    let messages = "";
    child.stdout.on("data", (data) => (out += String(data)));
    child.stderr.on("data", (data) => (messages += String(data)));
    return new Promise((resolve) => child.once("close", (code) => resolve({ code, out, messages })));
  }

  async startWorker(): Promise<string> {
    const port = await freePorts(3);
    await this.#done("workers", `--port=${port}`);
    return `http://127.0.0.1:${port}`;
  }

  async #done(...tokens: readonly string[]): Promise<void> {
    const { code, messages } = await this.admin(...tokens);
    if (code !== 0) throw new Error(`ol-admin ${tokens[0]}: ${messages}`);
  }

  lambda(name: string, requirements: string): void {
    const directory = join(this.directory, "registry", name);
    mkdirSync(directory);
    writeFileSync(join(directory, "requirements.txt"), requirements);
    writeFileSync(join(directory, "f.py"), "import ol_plain\ndef f(event):\n    return ol_plain.VERSION\n");
  }

  /** Directories of packages, and what is unfinished. */
  names(): string[] {
    const [python = ""] = readdirSync(join(this.directory, "packages"));
    return readdirSync(join(this.directory, "packages", python)).sort();
  }

  /** As if all that is installed had not been used for so long. */
  age(days: number): void {
    const then = new Date(Date.now() - days * DAY_MS);
    const [python = ""] = readdirSync(join(this.directory, "packages"));
    for (const name of this.names()) utimesSync(join(this.directory, "packages", python, name), then, then);
  }
}

describe("ol-admin packages", () => {
  it("installs without a worker and beside one, and lists what is there and whom it is for", async () => {
    const cluster = await Cluster.make();
    expect(await cluster.admin("packages", "list")).toMatchObject({ code: 0, out: "" });
    expect(await cluster.admin("packages", "install", "ol-needs>=1", "ol-other")).toMatchObject({
      code: 0,
      out: "ol-needs 1.0\nol-other 2.5\nol-plain 1.0\n",
    });
    const url = await cluster.startWorker();
    cluster.lambda("plain", "ol-plain\n");
    const reply = await fetch(`${url}/run/plain`, { method: "POST", body: "{}" });
    expect([reply.status, await reply.text()]).toEqual([200, '"1.0"']);
    expect(cluster.index.downloadsOf("ol-plain")).toBe(1);
    cluster.index.add(wheel({ name: "ol_late" }));
    expect(await cluster.admin("packages", "install", "ol-late")).toMatchObject({ code: 0 });
    const { out } = await cluster.admin("packages", "list", "--json");
    const { packages } = JSON.parse(out) as { packages: Record<string, unknown>[] };
    expect(
      packages.map(({ name, version, compiled, lambdas }) => [name, version, compiled, lambdas]),
    ).toEqual([
      ["ol-late", "1.0", true, []],
      ["ol-needs", "1.0", true, []],
      ["ol-other", "2.5", true, []],
      ["ol-plain", "1.0", true, ["plain"]],
    ]);
    expect((await cluster.admin("packages", "list")).out).toMatch(/^ol-plain +1\.0 .*compiled +for plain$/mu);
  });

  it("says in the tool's own words what cannot be installed, and what is typed wrong", async () => {
    const cluster = await Cluster.make();
    const failed = await cluster.admin("packages", "install", "ol-nowhere");
    expect(failed).toMatchObject({
      code: 1,
      out: "",
      messages: expect.stringMatching(/ol-nowhere was not found|No matching/u),
    });
    expect(await cluster.admin("packages", "install", "ol-plain", "-e .")).toMatchObject({ code: 2 });
    expect(await cluster.admin("packages", "install", "--", "-e .")).toMatchObject({
      code: 1,
      messages: expect.stringMatching(/-e/u),
    });
    for (const wrong of [
      ["install"],
      ["tidy"],
      ["list", "numpy"],
      ["gc", "--older-than=0"],
      ["list", "--dry-run"],
      [],
    ])
      expect([wrong, (await cluster.admin("packages", ...wrong)).code]).toEqual([wrong, 2]);
  });

  it("gc removes what no lambda names and nobody used for long, and what was not finished", async () => {
    const cluster = await Cluster.make();
    await cluster.admin("packages", "install", "ol-other");
    const url = await cluster.startWorker();
    cluster.lambda("plain", "ol-plain\n");
    cluster.lambda("gone", "ol-needs\n");
    for (const name of ["plain", "gone"]) await fetch(`${url}/run/${name}`, { method: "POST", body: "{}" });
    expect(await cluster.admin("packages", "gc")).toMatchObject({ code: 0, out: "" });
    expect(cluster.names()).toHaveLength(3);
    cluster.age(40);
    const [python = ""] = readdirSync(join(cluster.directory, "packages"));
    mkdirSync(join(cluster.directory, "packages", python, ".ol-plain.0123"));
    expect(await cluster.admin("packages", "gc", "--older-than=41")).toMatchObject({ code: 0, out: "" });
    rmSync(join(cluster.directory, "registry/gone"), { recursive: true });
    const dry = await cluster.admin("packages", "gc", "--dry-run");
    expect(dry.out.split("\n").map((line) => line.split(" ")[0])).toEqual(["ol-needs", "ol-other", ""]);
    expect(cluster.names()).toHaveLength(3);
    expect((await cluster.admin("packages", "gc")).out).toBe(dry.out);
    expect(cluster.names()).toEqual([expect.stringMatching(/^ol-plain-1\.0-/u)]);
    expect(readdirSync(join(cluster.directory, "registry/.locks"))).toEqual(["plain"]);
    const reply = await fetch(`${url}/run/plain`, { method: "POST", body: "{}" });
    expect([reply.status, await reply.text()]).toEqual([200, '"1.0"']);
  });

  it("and its index are what doctor tells of, without a password", async () => {
    const cluster = await Cluster.make();
    const mirror = cluster.index.urlWith("ann:S3cret");
    await cluster.admin("setconf", JSON.stringify({ pip_mirror: mirror }));
    const { out, messages } = await cluster.admin("doctor");
    expect(out).toMatch(
      new RegExp(
        `^ok +packages +(?:uv|pip) \\d.*; index: http://127\\.0\\.0\\.1:${cluster.index.port}/`,
        "mu",
      ),
    );
    expect(out + messages).not.toContain("S3cret");
  });
});

describe("startup_pkgs", () => {
  it("are installed when a worker starts, and one that cannot be had is told of in its log", async () => {
    const cluster = await Cluster.make({ startup_pkgs: ["ol-nowhere", "ol-needs"] });
    const url = await cluster.startWorker();
    const stats = async (): Promise<unknown> =>
      ((await (await fetch(`${url}/stats`)).json()) as { packages: unknown }).packages;
    await expect.poll(stats, { timeout: 60_000 }).toMatchObject({ installed: 2, compiled: 2 });
    cluster.lambda("plain", "ol-plain\n");
    const reply = await fetch(`${url}/run/plain`, { method: "POST", body: "{}" });
    expect([reply.status, await reply.text()]).toEqual([200, '"1.0"']);
    expect(await stats()).toMatchObject({ installed: 2 });
  });
});
