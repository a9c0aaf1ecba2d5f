import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";

import { expect, it, onTestFinished } from "vitest";

import { freePorts } from "../../packages/common/src/index.ts";
import { SLOWNESS } from "../../packages/sandbox/test/support/scale.ts";
import { MODES, RealCluster } from "./support/real-cluster.ts";

const [MODE] = MODES;
const PATIENCE = { timeout: 60_000 * SLOWNESS };

const COMMANDS: Readonly<Record<string, (file: string) => readonly string[]>> = {
  haproxy: (file) => ["haproxy", "-db", "-q", "-f", file],
  nginx: (file) => ["nginx", "-c", file, "-g", "daemon off;"],
};

/** Runs it until the test is over. */
const run = (command: readonly string[]): void => {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: "ignore" });
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  });
};

/** Whether the worker was called for it. */
const knows = async (url: string): Promise<boolean> =>
  (await (await fetch(`${url}/stats`)).text()).includes('"name":"hello"');

it.each(Object.keys(COMMANDS))(
  "the configuration that lb-config writes for %s works: a lambda's calls stay with one worker, and go to the other when that is gone",
  async (proxy) => {
    const cluster = await RealCluster.create(MODE);
    const port = await freePorts(3);
    const workers = await cluster.start(2, port + 1);
    const written = await cluster.admin("lb-config", proxy, `--port=${port}`);
    expect(written).toMatchObject({ code: 0 });
    const file = written.text.split("\n").find((line) => /\.(?:cfg|conf)$/u.test(line)) ?? "";
    for (const { url } of workers) expect(readFileSync(file, "utf8")).toContain(new URL(url).host);
    run(COMMANDS[proxy]?.(file) ?? []);
    const call = async (): Promise<string> => {
      try {
        const init = { method: "POST", body: '{"name": "Alice"}' };
        const reply = await fetch(`http://127.0.0.1:${port}/run/hello`, init);
        return `${reply.status} ${[...reply.headers.keys()].includes("x-ol-load")} ${await reply.text()}`;
      } catch (error) {
        return String(error);
      }
    };
    await expect.poll(call, PATIENCE).toMatch(/^200 false /u);
    for (let calls = 0; calls < 6; calls += 1) expect(await call()).toMatch(/^200 false /u);
    const holders = await Promise.all(workers.map(({ url }) => knows(url)));
    expect(holders.filter(Boolean).length).toBe(1);
    process.kill(workers[holders.indexOf(true)]?.pid ?? 0, "SIGKILL");
    await expect.poll(call, PATIENCE).toMatch(/^200 false /u);
  },
);
