import { spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { BALANCER_BIN, startBalancerProcess } from "./support/balancer-process.ts";

/** A worker that answers anything. */
const startWorker = async (
  answer: RequestListener,
): Promise<AsyncDisposable & { url: string; server: Server }> => {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    server,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
};

const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(process.execPath, [BALANCER_BIN, ...args], { encoding: "utf8", timeout: 60_000 });

describe("a balancer process", () => {
  it("serves on both loopback addresses, and says that it is ready when it does", async () => {
    await using worker = await startWorker((_, response) => response.end("hello"));
    await using balancer = await startBalancerProcess([worker.url]);
    for (const host of ["127.0.0.1", "[::1]"])
      expect(await (await fetch(`http://${host}:${balancer.port}/run/x`)).text()).toBe("hello");
  });

  it("that is stopped lets calls end, refuses new ones, and exits with 0", async () => {
    const answers: (() => void)[] = [];
    await using worker = await startWorker((request, response) => {
      if (request.url === "/run/x") answers.push(() => response.end("late"));
      else response.end("ready");
    });
    await using balancer = await startBalancerProcess([worker.url]);
    const at = `http://127.0.0.1:${balancer.port}`;
    const running = fetch(`${at}/run/x`);
    await expect.poll(() => answers.length, { timeout: 20_000 }).toBe(1);
    balancer.signal("SIGTERM");
    await expect.poll(async () => (await fetch(`${at}/status`)).status, { timeout: 20_000 }).toBe(503);
    const refused = await fetch(`${at}/run/x`, { method: "POST", body: "{}" });
    expect([refused.status, refused.headers.get("x-ol-not-started")]).toEqual([503, "1"]);
    answers[0]?.();
    expect(await (await running).text()).toBe("late");
    expect(await balancer.exited).toBe(0);
    expect(answers.length).toBe(1);
  });

  it("that is stopped twice ends at once", async () => {
    let calls = 0;
    await using worker = await startWorker((request) => void (calls += request.url === "/run/x" ? 1 : 0));
    await using balancer = await startBalancerProcess([worker.url]);
    const running = fetch(`http://127.0.0.1:${balancer.port}/run/x`).catch((error: unknown) => String(error));
    await expect.poll(() => calls, { timeout: 20_000 }).toBe(1);
    balancer.signal("SIGTERM");
    await expect.poll(() => balancer.log(), { timeout: 20_000 }).toMatch(/"stopping/u);
    balancer.signal("SIGTERM");
    expect(await balancer.exited).toBe(1);
    expect(await running).toMatch(/TypeError/u);
  });

  it("is configured by the environment as well, and believes a registration that is signed with its token", async () => {
    const token = "a-token-of-this-test";
    const proof = (id: string, nonce: string): string =>
      createHmac("sha256", token).update(`ol-proof\n${id}\n${nonce}`).digest("hex");
    await using worker = await startWorker((request, response) => {
      const url = new URL(request.url ?? "", "http://a");
      const [id, nonce] = [url.searchParams.get("id") ?? "", url.searchParams.get("nonce") ?? ""];
      response.end(url.pathname === "/_ol/proof" ? proof(id, nonce) : "registered");
    });
    await using balancer = await startBalancerProcess([], {}, { OL_TOKEN: token, OL_POLICY: "RoundRobin" });
    const at = `http://127.0.0.1:${balancer.port}`;
    expect((await fetch(`${at}/run/x`)).status).toBe(503);
    const register = (key: string): Promise<Response> => {
      const [path, body, time] = [
        "/_ol/workers/w1",
        JSON.stringify({ url: worker.url, slots: 4 }),
        Date.now(),
      ];
      const signature = createHmac("sha256", key)
        .update(`ol-request\nPUT\n${path}\n${time}\n`)
        .update(body)
        .digest("hex");
      const headers = { "X-OL-Time": String(time), "X-OL-Signature": signature };
      return fetch(at + path, { method: "PUT", body, headers });
    };
    expect((await register("another-token-of-16")).status).toBe(401);
    expect((await fetch(`${at}/run/x`)).status).toBe(503);
    expect((await register(token)).status).toBe(200);
    expect(await (await fetch(`${at}/run/x`)).text()).toBe("registered");
    expect(balancer.log()).not.toContain(token);
  });

  it("that cannot be started says why in one line, and exits with 1", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ol-balancer-"));
    try {
      const file = join(directory, "load_balancer.json");
      await writeFile(file, '{"load_high": 1.2}');
      const wrong = run("--config", file);
      expect([wrong.status, wrong.stderr]).toEqual([
        1,
        expect.stringMatching(/^ol-balancer: .*load_high: [^\n]*\n$/u),
      ]);
      const missing = run("--config", join(directory, "none.json"));
      expect([missing.status, missing.stderr]).toEqual([1, expect.stringMatching(/there is no such file/u)]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("explains its command line, and exits with 2 if it is wrong", () => {
    expect(run("--help")).toMatchObject({ status: 0, stdout: expect.stringContaining("--config FILE") });
    expect(run("--version")).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/u),
    });
    expect(run()).toMatchObject({ status: 2, stderr: expect.stringContaining("--config FILE is missing") });
    expect(run("-config")).toMatchObject({ status: 2 });
  });
});
