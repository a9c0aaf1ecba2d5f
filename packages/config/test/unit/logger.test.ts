import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { describe, expect, test } from "vitest";

import { type LoggerOptions, type OpenLogger, createLogger } from "../../src/index.ts";
import { temporaryDirectory } from "./temporary.ts";

const linesOf = async (
  use: (logger: OpenLogger) => void,
  options: Partial<LoggerOptions> = {},
): Promise<Record<string, unknown>[]> => {
  const output = join(temporaryDirectory(), "log");
  const logger = createLogger({ ...options, output });
  use(logger);
  await logger.close();
  const text = readFileSync(output, "utf8");
  return text
    .split("\n")
    .flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Record<string, unknown>]));
};

const logAll = (log: OpenLogger): void => {
  log.debug("d");
  log.info("i");
  log.warn("w");
  log.error("e");
};

describe("the logger", () => {
  test("writes one JSON object a line with time, level, message and fields", async () => {
    const [line] = await linesOf((log) => log.info("two\nlines", { port: 8080 }), {
      fields: { worker: "w0" },
    });
    expect(line).toEqual({
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/u) as string,
      level: "info",
      message: "two\nlines",
      worker: "w0",
      port: 8080,
    });
  });

  test("leaves out what is below its level", async () => {
    expect((await linesOf(logAll)).map((line) => line["message"])).toEqual(["i", "w", "e"]);
    expect((await linesOf(logAll, { level: "debug" })).map((line) => line["message"])).toEqual([
      "d",
      "i",
      "w",
      "e",
    ]);
  });

  test("never writes what has a secret's name, at any depth", async () => {
    const [line] = await linesOf((log) =>
      log.info("x", {
        registry_secret_key: "s1",
        accessKey: "s2",
        headers: { Authorization: "s3", "set-cookie": "s4", accept: "ok" },
        list: [{ token: "s5" }],
        environment: { A: "s6" },
        key: "worker_port",
      }),
    );
    const text = JSON.stringify(line);
    expect(text).not.toMatch(/s[1-6]/u);
    expect(line).toMatchObject({
      key: "worker_port",
      headers: { accept: "ok" },
      list: [{ token: "[redacted]" }],
    });
  });

  test("writes errors with message, code and cause, and survives circles and big integers", async () => {
    const circle: Record<string, unknown> = {};
    circle["self"] = circle;
    const error = Object.assign(new Error("broken", { cause: new Error("why") }), { code: "X" });
    const lines = await linesOf((log) => {
      log.error("x", { error });
      log.info("y", { circle, big: 10n });
    });
    expect(lines[0]).toMatchObject({ error: { message: "broken", code: "X", cause: { message: "why" } } });
    expect(lines[1]).toMatchObject({ big: "10" });
  });

  test("fields cannot take the place of level or message", async () => {
    const [line] = await linesOf((log) =>
      log.info("real", { level: "error", message: "false", time: "never" }),
    );
    expect(line).toMatchObject({ level: "info", message: "real" });
    expect(line?.["time"]).not.toBe("never");
  });

  test("appends to a file that is there and makes a new one unreadable for others", async () => {
    const output = join(temporaryDirectory(), "log");
    writeFileSync(output, "old\n", { mode: 0o600 });
    const logger = createLogger({ output });
    logger.info("new");
    await logger.close();
    await logger.close();
    expect(readFileSync(output, "utf8")).toMatch(/^old\n\{.*"new".*\}\n$/u);
    const fresh = join(temporaryDirectory(), "log");
    await createLogger({ output: fresh }).close();
    expect(statSync(fresh).mode & 0o007).toBe(0);
  });

  test("a file that cannot be opened is an error with the path", () => {
    expect(() => createLogger({ output: "/nowhere/at/all.log" })).toThrowError(
      expect.objectContaining({
        code: "OL_CONFIG_LOG_OUTPUT",
        message: expect.stringContaining("/nowhere/at/all.log") as string,
      }) as Error,
    );
  });

  test("a full disk does not end the process", async () => {
    const logger = createLogger({ output: "/dev/full" });
    logger.info("x".repeat(100_000));
    logger.info("y");
    await expect(logger.close()).resolves.toBeUndefined();
  });
});
