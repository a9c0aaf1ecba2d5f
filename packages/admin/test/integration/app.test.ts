import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { freePorts } from "@ol/common";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";

import { identityOf, isAlive } from "../../src/process/identity.ts";
import { type Outcome, admin, newCluster } from "../support/harness.ts";

/** What an application's setup.sh starts here, and where it says which process that is. */
const START_SERVICE = '#!/bin/sh\nsleep 600 &\necho "$!" >"$OL_STATE/pid"\n';
const ENVIRONMENT = 'printf \'environment:\\n  WHERE: "%s"\\n\' "$OL_URL" >>"$OL_HANDLERS/hello/ol.yaml"\n';

let cwd: string;
let cluster: string;
let url: string;

beforeEach(async () => {
  ({ cwd, cluster } = await newCluster());
  const port = await freePorts();
  await act("workers", `--port=${port}`);
  url = `http://localhost:${port}`;
});

const act = (...tokens: string[]): Promise<Outcome> => admin(tokens, { cwd });

const writeFileIn = (place: string, text: string): void => {
  mkdirSync(join(place, ".."), { recursive: true });
  writeFileSync(place, text);
};

/** An application `shop` with two handlers and a page. */
const writeApplication = (setup?: string, at = "shop"): string => {
  const directory = join(cwd, at);
  for (const handler of ["hello", "bye"])
    writeFileIn(join(directory, "handlers", handler, "f.py"), `def f(event):\n    return "${handler}"\n`);
  writeFileIn(join(directory, "static/index.html"), "<!doctype html>");
  if (setup !== undefined) {
    writeFileSync(join(directory, "setup.sh"), setup);
    chmodSync(join(directory, "setup.sh"), 0o755);
  }
  return directory;
};

const inRegistry = (...names: string[]): string => readFileSync(join(cluster, "registry", ...names), "utf8");
const lambdas = (): string[] => readdirSync(join(cluster, "registry")).sort();

const servicePid = (): number => Number(readFileSync(join(cluster, "apps/shop/state/pid"), "utf8"));
const serviceLives = (): boolean => identityOf(servicePid()) !== undefined;

describe("app", () => {
  test("puts handlers and page into the registry as setup.sh left them, and says where they are", async () => {
    const directory = writeApplication(`${START_SERVICE}${ENVIRONMENT}`);
    const outcome = await act("app", "shop");
    expect(outcome).toMatchObject({ code: 0 });
    expect(outcome.stdout).toBe(
      ["shop-bye", "shop-hello", "shop-static/"].map((lambda) => `${url}/run/${lambda}\n`).join(""),
    );
    expect(lambdas()).toEqual(["shop-bye", "shop-hello", "shop-static"]);
    expect(inRegistry("shop-hello/f.py")).toContain('"hello"');
    expect(inRegistry("shop-hello/ol.yaml")).toBe(`environment:\n  WHERE: "${url}"\n`);
    expect(inRegistry("shop-static/files/index.html")).toBe("<!doctype html>");
    const config = { url, handlers: { bye: "/run/shop-bye", hello: "/run/shop-hello" } };
    expect(JSON.parse(inRegistry("shop-static/files/config.json"))).toEqual(config);
    expect(JSON.parse(readFileSync(join(directory, "static/config.json"), "utf8"))).toEqual(config);
    expect(existsSync(join(directory, "handlers/hello/ol.yaml"))).toBe(false);
    expect(serviceLives()).toBe(true);
  });

  test("--down takes all of it out again, and what setup.sh started is gone", async () => {
    const directory = writeApplication(START_SERVICE);
    await act("app", "shop");
    const service = identityOf(servicePid());
    expect(await act("app", "shop", "--down")).toMatchObject({ code: 0 });
    expect(service !== undefined && isAlive(service)).toBe(false);
    expect(lambdas()).toEqual([]);
    expect(existsSync(join(directory, "static/config.json"))).toBe(false);
    expect(readdirSync(join(cluster, "apps"))).toEqual([]);
    const again = await act("app", "shop", "--down");
    expect(again).toMatchObject({ code: 1, stderr: expect.stringMatching(/no application shop/u) as string });
  });

  test("again brings what changed, takes out what is gone, and lets run what runs", async () => {
    const directory = writeApplication(
      `#!/bin/sh\n[ -e "$OL_STATE/pid" ] && exit\n${START_SERVICE.split("\n").slice(1).join("\n")}`,
    );
    await act("app", "shop");
    const service = identityOf(servicePid());
    rmSync(join(directory, "handlers/bye"), { recursive: true });
    writeFileSync(join(directory, "handlers/hello/f.py"), "def f(event):\n    return 2\n");
    expect(await act("app", "shop")).toMatchObject({ code: 0 });
    expect(lambdas()).toEqual(["shop-hello", "shop-static"]);
    expect(inRegistry("shop-hello/f.py")).toContain("return 2");
    expect(service !== undefined && isAlive(service)).toBe(true);
    await act("kill");
    expect(service !== undefined && isAlive(service)).toBe(false);
  });

  test("that fails in setup.sh says its last word, ends what that started, and uploads nothing", async () => {
    writeApplication(`${START_SERVICE}echo "the database is full" >&2\nexit 3\n`);
    const outcome = await act("app", "shop");
    expect(outcome).toMatchObject({ code: 1, stdout: "" });
    expect(outcome.stderr).toBe("setup.sh failed: the database is full\n");
    expect(serviceLives()).toBe(false);
    expect(lambdas()).toEqual([]);
  });

  test("that is interrupted in setup.sh ends it, and uploads nothing", async () => {
    writeApplication(
      `${START_SERVICE}mkfifo "$OL_STATE/gate"\ntouch "$OL_STATE/here"\nread line <"$OL_STATE/gate"\n`,
    );
    const interruption = new AbortController();
    const outcome = admin(["app", "shop"], { cwd, signal: interruption.signal });
    await expect
      .poll(() => existsSync(join(cluster, "apps/shop/state/here")), { timeout: 20_000 })
      .toBe(true);
    interruption.abort(new Error("ended by SIGINT"));
    expect((await outcome).code).toBe(1);
    expect(serviceLives()).toBe(false);
    expect(lambdas()).toEqual([]);
  });

  test("leaves alone what is not its own: a lambda, and an application of the same name", async () => {
    writeApplication();
    writeFileIn(join(cluster, "registry/shop-hello/f.py"), "mine");
    const lambda = await act("app", "shop");
    expect(lambda).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/lambda shop-hello .* not this/u) as string,
    });
    expect(inRegistry("shop-hello/f.py")).toBe("mine");
    await act("remove", "shop-hello");
    expect(await act("app", "shop")).toMatchObject({ code: 0 });
    writeApplication(undefined, "elsewhere/shop");
    const other = await act("app", "elsewhere/shop");
    expect(other).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/has an application shop already/u) as string,
    });
  });

  test("refuses a directory that is no application, and a setup.sh that is no program", async () => {
    mkdirSync(join(cwd, "shop"));
    expect((await act("app", "shop")).stderr).toMatch(/no application: handlers cannot be read/u);
    mkdirSync(join(cwd, "shop/handlers"));
    expect((await act("app", "shop")).stderr).toMatch(/no directory in .*handlers/u);
    chmodSync(join(writeApplication(START_SERVICE), "setup.sh"), 0o644);
    expect((await act("app", "shop")).stderr).toMatch(/setup\.sh cannot be run/u);
    expect(lambdas()).toEqual([]);
  });

  test("needs a worker", async () => {
    writeApplication();
    await act("kill");
    expect(await act("app", "shop")).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no worker/u) as string,
    });
  });
});

describe("kill", () => {
  test("ends what applications started, orphans too, and they can be set up again", async () => {
    writeApplication(`#!/bin/sh\n(sleep 600 & echo "$!" >"$OL_STATE/pid") &\nwait\n`);
    await act("app", "shop");
    const service = identityOf(servicePid());
    expect(service !== undefined && isAlive(service)).toBe(true);
    const outcome = await act("kill");
    expect(outcome.code).toBe(0);
    expect(outcome.stderr).toContain("shop: what its setup.sh started is stopped");
    expect(service !== undefined && isAlive(service)).toBe(false);
    expect((await act("kill")).stderr).not.toContain("shop");
    await act("workers", `--port=${await freePorts()}`);
    expect(await act("app", "shop")).toMatchObject({ code: 0 });
    expect(serviceLives()).toBe(true);
  });

  test("harms nobody who has the session of an application that is long gone", async () => {
    writeApplication(START_SERVICE);
    await act("app", "shop");
    const file = join(cluster, "apps/shop/app.json");
    const record = JSON.parse(readFileSync(file, "utf8")) as {
      services: { processes: { startTime: string }[] }[];
    };
    for (const { processes } of record.services) for (const process of processes) process.startTime = "1";
    const service = servicePid();
    writeFileSync(file, JSON.stringify(record));
    // Nothing else ends it now.
    onTestFinished(() => void process.kill(service, "SIGKILL"));
    expect(await act("kill")).toMatchObject({ code: 0 });
    expect(identityOf(service)).not.toBeUndefined();
  });
});
