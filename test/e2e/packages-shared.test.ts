import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it, onTestFinished } from "vitest";

import { wheel } from "../../packages/lambda/test/support/package-index/wheel.ts";
import { atOnce } from "./support/load.ts";
import { PackageRig } from "./support/package-rig.ts";

const NAMES = ["ol_one", "ol_two", "ol_three"];
const DISTRIBUTIONS = [...NAMES.map((name) => wheel({ name })), wheel({ name: "ol_all", requires: NAMES })];
const LAMBDAS = 200;

const temporary = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "ol-shared-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
};

describe("packages that many want at once", () => {
  it("are resolved and installed once for 200 lambdas", async () => {
    const rig = await PackageRig.start({
      distributions: DISTRIBUTIONS,
      config: { limits: { mem_mb: 30 }, install_wait_ms: 120_000, queue_timeout_ms: 120_000 },
    });
    for (let at = 0; at < LAMBDAS; at += 1)
      rig.imports(`lambda-${at}`, "ol-all\n", "ol_one.VERSION", "ol_one, ol_all");
    const answers = await atOnce(LAMBDAS, (at) => rig.ask(`lambda-${at}`));
    expect(answers.filter(([status, text]) => status !== 200 || text !== '"1.0"')).toEqual([]);
    expect(["ol-all", "ol-one", "ol-two"].map((name) => rig.index.downloadsOf(name))).toEqual([1, 1, 1]);
    const { resolved, installed, failed, providing } = await rig.stats();
    // Few come so late that what was asked for them was answered already.
    expect(resolved).toBeLessThan(10);
    expect({ installed, failed, providing }).toEqual({ installed: 4, failed: 0, providing: 0 });
    expect(readdirSync(join(rig.worker.registryDir, ".locks"))).toHaveLength(LAMBDAS);
  }, 240_000);

  it("are installed once by the workers of a cluster, of which one waits for the other", async () => {
    const shared = temporary();
    const config = { pkgs_dir: join(shared, "packages"), registry_dir: join(shared, "registry") };
    const first = await PackageRig.start({ distributions: DISTRIBUTIONS, config });
    const second = await PackageRig.start({ config: { ...config, pip_mirror: first.index.url } });
    for (const name of ["a", "b"]) {
      mkdirSync(join(shared, "registry", name), { recursive: true });
      writeFileSync(join(shared, "registry", name, "requirements.txt"), "ol-all\n");
      writeFileSync(
        join(shared, "registry", name, "f.py"),
        "import ol_one\ndef f(event):\n    return ol_one.VERSION\n",
      );
    }
    first.index.trouble = "hold";
    const one = first.ask("a");
    // All four, so that the other worker finds every one of them taken.
    await first.index.holds(DISTRIBUTIONS.length);
    const other = second.ask("b");
    await expect.poll(() => second.stats(), { timeout: 20_000 }).toMatchObject({ resolved: 1, providing: 1 });
    first.index.trouble = undefined;
    expect(await Promise.all([one, other])).toEqual([
      [200, '"1.0"'],
      [200, '"1.0"'],
    ]);
    expect(["ol-all", "ol-one"].map((name) => first.index.downloadsOf(name))).toEqual([1, 1]);
    expect([(await first.stats()).installed, (await second.stats()).installed]).toEqual([4, 0]);
  });

  it("of another worker that is killed in the middle are installed by the one that waited", async () => {
    const shared = temporary();
    const config = { pkgs_dir: join(shared, "packages") };
    const first = await PackageRig.start({ distributions: DISTRIBUTIONS, config });
    const second = await PackageRig.start({ config: { ...config, pip_mirror: first.index.url } });
    for (const rig of [first, second]) rig.imports("a", "ol-all\n", "ol_one.VERSION", "ol_one");
    first.index.trouble = "hold";
    const cut = first.ask("a").catch(() => undefined);
    await first.index.holds(DISTRIBUTIONS.length);
    const waiting = second.ask("a");
    await expect.poll(() => second.stats(), { timeout: 20_000 }).toMatchObject({ resolved: 1, providing: 1 });
    first.worker.signal("SIGKILL");
    await first.worker.exited;
    await cut;
    first.index.trouble = undefined;
    expect(await waiting).toEqual([200, '"1.0"']);
    expect((await second.stats()).installed).toBe(4);
  });
});

describe("a disk that is full", () => {
  it("is said to be, leaves nothing half done, and is no obstacle once there is room", async () => {
    const directory = temporary();
    const script = `mount -t tmpfs -o size=4m,mode=755 small "$0" && dd if=/dev/zero of="$0/filler" bs=1k count=3900 2>/dev/null && exec "$@"`;
    const rights = process.getuid?.() === 0 ? ["-m"] : ["-Urm"];
    const data = Buffer.alloc(1024 * 1024, "#\n");
    const rig = await PackageRig.start({
      distributions: [wheel({ name: "ol_large", files: { "ol_large.py": data } })],
      config: { pkgs_dir: directory },
      wrapper: ["unshare", ...rights, "sh", "-c", script, directory],
    });
    const seen = join(`/proc/${rig.worker.pid}/root`, directory);
    const python = (): string => readdirSync(seen).find((name) => name !== "filler") ?? "";
    rig.imports("large", "ol-large\n", "1", "ol_large");
    expect(await rig.ask("large")).toEqual([503, expect.stringMatching(/No space left/u)]);
    expect(existsSync(join(seen, "filler"))).toBe(true);
    expect(readdirSync(join(seen, python()))).toEqual([]);
    rmSync(join(seen, "filler"));
    await expect.poll(() => rig.ask("large"), { timeout: 30_000, interval: 500 }).toEqual([200, "1"]);
    expect(readdirSync(join(seen, python()))).toHaveLength(1);
  });
});
