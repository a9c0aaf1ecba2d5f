import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";

import { freePorts } from "@ol/common";
import { describe, expect, onTestFinished, test } from "vitest";

import { type Outcome, admin, temporaryDirectory, writeCertificate } from "../support/harness.ts";

// The built programs, as users start them; workers are stand-ins that answer with what they are sent.
const bin = (name: string): readonly string[] => [
  process.execPath,
  join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), `bin/${name}.js`),
];
const PATIENCE = { timeout: 30_000 };

interface Ground {
  readonly cwd: string;
  readonly cluster: string;
  /** Free, as the next ones are. */
  readonly port: number;
  readonly act: (...tokens: string[]) => Promise<Outcome>;
}

/** A new cluster; whatever was started in it is ended after the test. */
const ground = async (...options: string[]): Promise<Ground> => {
  const cwd = temporaryDirectory();
  const act = (...tokens: string[]): Promise<Outcome> =>
    admin(tokens, { cwd, balancerCommand: bin("ol-balancer"), registryCommand: bin("ol-registry") });
  expect(await act("new", "--cluster=c", ...options)).toMatchObject({ code: 0 });
  onTestFinished(async () => void (await act("kill", "--timeout=0")));
  return { cwd, cluster: join(cwd, "c"), port: await freePorts(5), act };
};

const json = (file: string): Record<string, unknown> =>
  JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;

const call = async (port: number, body: string): Promise<string> => {
  const reply = await fetch(`http://127.0.0.1:${port}/run/echo`, { method: "POST", body });
  return `${reply.status} ${await reply.text()}`;
};

/** The workers that a balancer knows, by port. */
const known = async (port: number): Promise<readonly number[]> => {
  const stats = (await (await fetch(`http://127.0.0.1:${port}/stats`)).json()) as {
    readonly dispatcher: { readonly workers: readonly { readonly url: string }[] };
  };
  return stats.dispatcher.workers.map(({ url }) => Number(new URL(url).port)).toSorted((a, b) => a - b);
};

describe("a cluster's load balancer", () => {
  test("calls the workers that run, hears of those that are started later, and goes on after a stop", async () => {
    const { act, cluster, port } = await ground();
    const url = `http://localhost:${port}`;
    const first = await act("load-balancer", `--port=${port}`);
    expect(first).toMatchObject({ code: 0, stdout: `load balancer ready at ${url}\n` });
    expect(first.stderr).toMatch(/^there is no worker yet; start some with: npx ol-admin workers /mu);
    expect(await act("workers", `--port=${port + 1}`)).toMatchObject({ code: 0 });
    await expect.poll(() => known(port), PATIENCE).toEqual([port + 1]);
    expect(await call(port, "one")).toBe("200 one");
    expect(await act("workers")).toMatchObject({ code: 0 });
    await expect.poll(() => known(port), PATIENCE).toEqual([port + 1, port + 2]);
    expect((await act("load-balancer")).stderr).toBe("it ran already\n");
    expect(await act("load-balancer", "--stop")).toMatchObject({
      code: 0,
      stderr: "load balancer stopped\n",
    });
    expect(await act("load-balancer", "--stop")).toMatchObject({ stderr: "no load balancer was running\n" });
    expect(await act("load-balancer", "--policy=roundrobin")).toMatchObject({ code: 0 });
    // It knows them from its first moment on.
    expect(await call(port, "two")).toBe("200 two");
    expect(json(join(cluster, "config/load_balancer.json"))).toEqual({
      port,
      policy: "RoundRobin",
      workers_file: "config/workers.json",
    });
    expect(statSync(join(cluster, "config/load_balancer.json")).mode & 0o777).toBe(0o600);
    // Workers know it by the cluster's token; an address would be anybody's on this machine.
    expect(json(join(cluster, "config/template.json"))).not.toHaveProperty("trusted_proxies");
  });

  test("is what invoke calls, and what status shows first", async () => {
    const { act, port } = await ground();
    expect(await act("load-balancer", `--port=${port}`)).toMatchObject({ code: 0 });
    expect(await act("workers", `--port=${port + 1}`)).toMatchObject({ code: 0 });
    await expect.poll(() => known(port), PATIENCE).toEqual([port + 1]);
    expect(await act("invoke", "echo", "-d", "1")).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^1/u),
    });
    const stats = (await (await fetch(`http://127.0.0.1:${port}/stats`)).json()) as {
      readonly outcomes: { readonly replied: number };
    };
    expect(stats.outcomes.replied).toBe(1);
    const shown = await act("status");
    expect(shown.code).toBe(0);
    expect(shown.stdout.split("\n").slice(0, 5)).toEqual([
      "Load Balancer Ping:",
      `  http://localhost:${port}/status => ready [200 OK]`,
      "",
      "Worker Pings:",
      `  http://localhost:${port + 1}/status => ready [200 OK]`,
    ]);
    expect(await act("load-balancer", "--stop")).toMatchObject({ code: 0 });
    const stopped = await act("status", "--json");
    expect(stopped.code).toBe(1);
    expect(JSON.parse(stopped.stdout)).toMatchObject({
      load_balancer: { url: `http://localhost:${port}/status`, ok: false },
      workers: [{ ok: true }],
    });
    expect(await act("invoke", "echo", "-d", "1")).toMatchObject({ code: 0 });
  });

  test("that serves HTTPS is asked by status, if it is the one with the cluster's certificate", async () => {
    const { act, cluster, port } = await ground();
    const at = (name: string): string => join(cluster, name);
    writeCertificate(at("cert.pem"), at("key.pem"));
    const tls = { cert: "cert.pem", key: "key.pem" };
    writeFileSync(at("config/load_balancer.json"), JSON.stringify({ tls }));
    const url = `https://localhost:${port}`;
    expect(await act("load-balancer", `--port=${port}`)).toMatchObject({
      code: 0,
      stdout: `load balancer ready at ${url}\n`,
    });
    const shown = async (): Promise<unknown> =>
      (JSON.parse((await act("status", "--json")).stdout) as { load_balancer: unknown }).load_balancer;
    const ping = { url: `${url}/status`, ok: true, answer: "ready [200 OK]" };
    expect(await shown()).toMatchObject(ping);
    // Without its key the balancer cannot serve with it, and goes on with the one that it has.
    writeCertificate(at("cert.pem"), at("other-key.pem"));
    expect(await shown()).toMatchObject({
      ...ping,
      ok: false,
      answer: expect.stringMatching(
        /^no answer \[it shows another certificate than the one in .*cert\.pem\]$/u,
      ),
    });
    rmSync(at("cert.pem"));
    expect(await shown()).toMatchObject({
      ok: false,
      answer: expect.stringMatching(/cert\.pem cannot be read/u),
    });
  });

  test("that cannot start leaves everything as it was, and says why", async () => {
    const { act, cluster, port } = await ground();
    const server = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    const busy = await act("load-balancer", `--port=${(server.address() as AddressInfo).port}`);
    expect(busy).toMatchObject({ code: 1, stdout: "" });
    expect(busy.stderr).toMatch(/^port \d+ is in use by .*; stop it, or take another with --port\n$/u);
    const file = join(cluster, "config/load_balancer.json");
    const written = JSON.stringify({ LoadHigh: 1 });
    writeFileSync(file, written);
    const refused = await act("load-balancer", `--port=${port}`);
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toMatch(/^load balancer did not start: .*load_high: /mu);
    expect(json(file)).toEqual(JSON.parse(written));
    expect(await act("load-balancer", "--policy=Chance")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^--policy must be one of LARD, /u),
    });
    expect(await act("kill")).toMatchObject({ stderr: "nothing of this cluster was running\n" });
  });

  test("load-balancer-exec runs one until it is interrupted, and exits with 0", async () => {
    const { cwd, port } = await ground();
    writeFileSync(join(cwd, "balancer.json"), JSON.stringify({ port, workers: ["http://127.0.0.1:1"] }));
    const stop = new AbortController();
    const ended = admin(["load-balancer-exec", "--config=balancer.json"], {
      cwd,
      balancerCommand: bin("ol-balancer"),
      signal: stop.signal,
    });
    const status = async (): Promise<number> => {
      try {
        return (await fetch(`http://127.0.0.1:${port}/status`)).status;
      } catch {
        // Not there yet.
        return 0;
      }
    };
    await expect.poll(status, PATIENCE).toBe(200);
    stop.abort();
    expect(await ended).toMatchObject({ code: 0 });
  });

  test("up starts what new planned, in order; down stops it, and both can be repeated", async () => {
    const { act, cluster, port } = await ground("--num-workers=2", "--registry", "--load-balancer");
    expect(json(join(cluster, "config/cluster.json"))["plan"]).toEqual({ workers: 2 });
    for (const [name, key, at] of [
      ["registry.json", "registry_port", port],
      ["template.json", "worker_port", port + 1],
      ["load_balancer.json", "port", port + 3],
    ] as const) {
      const file = join(cluster, "config", name);
      writeFileSync(file, JSON.stringify({ ...json(file), [key]: at }));
    }
    const lines = [
      `registry ready at http://localhost:${port}`,
      `worker-0 ready at http://localhost:${port + 1}`,
      `worker-1 ready at http://localhost:${port + 2}`,
      `load balancer ready at http://localhost:${port + 3}`,
    ];
    const up = await act("up");
    expect([up.code, up.stdout.trimEnd().split("\n")]).toEqual([0, lines]);
    expect(await call(port + 3, "up")).toBe("200 up");
    const again = await act("up");
    expect([again.code, again.stdout.trimEnd().split("\n")]).toEqual([0, [lines[0], lines[3]]]);
    const status = await act("status");
    expect(status.stdout).toMatch(/^Load Balancer Ping:[^]*Registry Ping:[^]*Worker Pings:/u);
    const down = await act("down");
    expect(down.code).toBe(0);
    expect(down.stderr.split("\n").filter((line) => !line.endsWith("..."))).toEqual([
      "load balancer stopped",
      "worker-0 stopped",
      "worker-1 stopped",
      "registry stopped",
      "",
    ]);
    expect(await act("down")).toMatchObject({
      code: 0,
      stderr: "worker-0 was not running\nworker-1 was not running\n",
    });
    expect((await act("up")).stdout.trimEnd().split("\n")).toEqual(lines);
  });
});
