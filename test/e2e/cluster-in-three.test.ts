import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { freePorts } from "../../packages/common/src/index.ts";
import { SLOWNESS } from "../../packages/sandbox/test/support/scale.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const ADMIN = path.join(ROOT, "packages/admin/bin/ol-admin.js");
const DIRECTORY = path.join(mkdtempSync(path.join(tmpdir(), "ol-three-")), "my-cluster");
const COMMAND_MS = 170_000;
const WAITING = 12;

/** What the README tells a reader to type, as it stands there. */
const readmeCommands = (): readonly string[] => {
  const section = readFileSync(path.join(ROOT, "README.md"), "utf8").split("\n## A cluster\n")[1] ?? "";
  const block = /```\n(?<lines>[^]*?)\n```/u.exec(section)?.groups?.["lines"] ?? "";
  return block.split("\n");
};

const admin = (...tokens: string[]): string => {
  const options = { cwd: ROOT, encoding: "utf8", timeout: COMMAND_MS } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [ADMIN, ...tokens], options);
  if (status !== 0) throw new Error(`${tokens.join(" ")}: ${stdout}${stderr}`);
  return stdout;
};

/** As typed, but for the cluster's place. */
const type = (command: string | undefined): string => {
  const [npx, name, ...words] = (command ?? "").replace("my-cluster", DIRECTORY).split(" ");
  if (npx !== "npx" || name !== "ol-admin") throw new Error(`not a command of ours: ${command}`);
  return admin(...words);
};

const setInFile = (name: string, values: Readonly<Record<string, unknown>>): void => {
  const file = path.join(DIRECTORY, "config", name);
  const before = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  writeFileSync(file, JSON.stringify({ ...before, ...values }));
};

let url = "";

const post = async (lambda: string, event: unknown): Promise<unknown> => {
  const reply = await fetch(`${url}/run/${lambda}`, { method: "POST", body: JSON.stringify(event) });
  const text = await reply.text();
  if (reply.status !== 200) throw new Error(`${lambda}: ${reply.status} ${text}`);
  return JSON.parse(text);
};

interface Updates {
  readonly ts: string;
  readonly messages: readonly { readonly user: string; readonly text: string }[];
}

interface Shown {
  readonly dispatcher: {
    readonly live: number;
    readonly workers: readonly { readonly counts: { readonly sent: number } }[];
  };
}

const shown = async (): Promise<Shown["dispatcher"]> =>
  ((await (await fetch(`${url}/stats`)).json()) as Shown).dispatcher;

beforeAll(async () => {
  const commands = readmeCommands();
  if (commands.length !== 3) throw new Error(`not three commands: ${commands.join(" ")}`);
  const [made, up, upload] = commands;
  type(made);
  // The usual ones may be taken where tests run.
  const port = await freePorts(6);
  setInFile("load_balancer.json", { port });
  setInFile("registry.json", { registry_port: port + 1 });
  // Somebody waits for the packages.
  setInFile("template.json", { worker_port: port + 2, install_wait_ms: 600_000 });
  url = `http://127.0.0.1:${port}`;
  type(up);
  type(upload);
});
afterAll(() => {
  admin("kill", `--cluster=${DIRECTORY}`, "--timeout=0");
  rmSync(path.dirname(DIRECTORY), { recursive: true, force: true });
});

describe("a cluster of registry, balancer and four workers from the README's three commands", () => {
  it("answers through its balancer, and all of it is ready", async () => {
    expect(await post("hello", { name: "Alice" })).toBe("Hello, Alice!");
    const status = admin("status", `--cluster=${DIRECTORY}`);
    expect(status.match(/=> ready \[200 OK\]$/gmu)?.length).toBe(6);
    expect(status).toMatch(/^Load Balancer Ping:\n/u);
  });

  it("runs pychat with its Redis through the balancer: who waits on any worker hears what is said on another", async () => {
    const copy = path.join(path.dirname(DIRECTORY), "pychat");
    cpSync(path.join(ROOT, "quickstart/examples/pychat"), copy, { recursive: true });
    admin("app", copy, `--cluster=${DIRECTORY}`);
    const page = JSON.parse(readFileSync(path.join(copy, "static/config.json"), "utf8")) as { url: string };
    expect(new URL(page.url).port).toBe(new URL(url).port);
    expect(await (await fetch(`${url}/run/pychat-static/`)).text()).toContain("<html");
    await post("pychat-init", {});
    const { ts } = (await post("pychat-updates", { ts: "0" })) as Updates;
    const waiting = Array.from({ length: WAITING }, () => post("pychat-updates", { ts }) as Promise<Updates>);
    await expect.poll(async () => (await shown()).live, { timeout: 15_000 * SLOWNESS }).toBe(WAITING);
    await post("pychat-msg", { user: "Alice", text: "all of you" });
    for (const { messages } of await Promise.all(waiting))
      expect(messages.map(({ user, text }) => `${user}: ${text}`)).toEqual(["Alice: all of you"]);
    const { workers } = await shown();
    expect(workers.length).toBe(4);
    expect(workers.reduce((sum, { counts }) => sum + counts.sent, 0)).toBeGreaterThan(WAITING);
  });
});
