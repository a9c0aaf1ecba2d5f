import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable, Writable } from "node:stream";

const PROGRAM = "chromium";
const ANSWER_MS = 60_000;
const STOP_MS = 10_000;
/** Node's own descriptors are 0 to 2; the browser reads 3 and writes 4. */
const PIPES = ["ignore", "ignore", "ignore", "pipe", "pipe"] as const;

interface Answer {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

/** A headless Chromium with one page, driven by its DevTools protocol over two pipes. */
export class Browser implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #session: string | undefined;
  #sent = 0;

  /** `width` and `height` in CSS pixels. */
  static async open(url: string, width: number, height: number): Promise<Browser> {
    const profile = await mkdtemp(path.join(tmpdir(), "ol-browser-"));
    const browser = new Browser(profile);
    try {
      await browser.#openPage(url, width, height);
    } catch (error) {
      await browser[Symbol.asyncDispose]();
      throw error;
    }
    return browser;
  }

  private constructor(profile: string) {
    this.#profile = profile;
    const options = [
      "--headless=new",
      "--remote-debugging-pipe",
      `--user-data-dir=${profile}`,
      "--no-first-run",
    ];
    const quiet = [
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-background-networking",
      "--lang=en-US",
    ];
    // It refuses to make its own sandbox as root. The page is ours.
    const sandbox = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
    this.#child = spawn(PROGRAM, [...options, ...quiet, ...sandbox], {
      stdio: [...PIPES],
      detached: true,
      // It leaves directories of its own there.
      env: { ...process.env, TMPDIR: profile },
    });
    let text = "";
    (this.#child.stdio[4] as Readable).setEncoding("utf8").on("data", (data: string) => {
      const messages = (text + data).split("\0");
      text = messages.pop() ?? "";
      for (const message of messages) this.#hear(JSON.parse(message) as Answer);
    });
    // What is written to one that is gone gets no answer, which is told.
    (this.#child.stdio[3] as Writable).on("error", () => undefined);
  }

  /** The value of a JavaScript expression in the page; a promise is waited for. */
  async evaluate<Value>(expression: string): Promise<Value> {
    const options = { expression, awaitPromise: true, returnByValue: true, userGesture: true };
    const { result, exceptionDetails } = await this.#ask<{
      readonly result: { readonly value: Value };
      readonly exceptionDetails?: unknown;
    }>("Runtime.evaluate", options);
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return result.value;
  }

  /** What is to be read in the first element that a CSS selector finds; "" if there is none. */
  text(selector: string): Promise<string> {
    return this.evaluate<string>(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ""`);
  }

  async focus(selector: string): Promise<void> {
    await this.evaluate(`document.querySelector(${JSON.stringify(selector)}).focus()`);
  }

  /** Types into whatever has the focus, as a keyboard does. */
  async type(text: string): Promise<void> {
    await this.#ask("Input.insertText", { text });
  }

  async pressEnter(): Promise<void> {
    const key = { key: "Enter", code: "Enter", windowsVirtualKeyCode: 13, text: "\r" };
    for (const type of ["keyDown", "keyUp"]) await this.#ask("Input.dispatchKeyEvent", { type, ...key });
  }

  /** What the page says to those who do not see it: one line for each part that has a role, `role: name`. */
  async accessible(): Promise<string[]> {
    interface Node {
      readonly ignored: boolean;
      readonly role?: { readonly value: string };
      readonly name?: { readonly value: string };
    }
    const { nodes } = await this.#ask<{ readonly nodes: readonly Node[] }>("Accessibility.getFullAXTree", {});
    return nodes
      .filter(({ ignored }) => !ignored)
      .map(({ role, name }) => `${role?.value ?? ""}: ${name?.value ?? ""}`);
  }

  /** Writes what is to be seen to a PNG file. */
  async screenshot(file: string): Promise<void> {
    const { data } = await this.#ask<{ readonly data: string }>("Page.captureScreenshot", { format: "png" });
    await writeFile(file, Buffer.from(data, "base64"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid } = this.#child;
    if (pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, "exit");
      const timer = setTimeout(() => process.kill(-pid, "SIGKILL"), STOP_MS);
      this.#child.kill("SIGTERM");
      await exited;
      clearTimeout(timer);
    }
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
  }

  async #openPage(url: string, width: number, height: number): Promise<void> {
    await once(this.#child, "spawn");
    const { targetId } = await this.#ask<{ readonly targetId: string }>("Target.createTarget", {
      url: "about:blank",
    });
    const attached = await this.#ask<{ readonly sessionId: string }>("Target.attachToTarget", {
      targetId,
      flatten: true,
    });
    this.#session = attached.sessionId;
    const metrics = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
    await this.#ask("Emulation.setDeviceMetricsOverride", metrics);
    await this.#ask("Page.navigate", { url });
  }

  #ask<Result>(method: string, params: Readonly<Record<string, unknown>>): Promise<Result> {
    const id = (this.#sent += 1);
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`the browser does not answer ${method}`));
      }, ANSWER_MS);
      this.#waiting.set(id, ({ result, error }) => {
        clearTimeout(timer);
        if (error === undefined) resolve(result as Result);
        else reject(new Error(`${method}: ${error.message}`));
      });
      (this.#child.stdio[3] as Writable).write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    });
  }

  #hear(answer: Answer): void {
    if (answer.id === undefined) return;
    this.#waiting.get(answer.id)?.(answer);
    this.#waiting.delete(answer.id);
  }
}
