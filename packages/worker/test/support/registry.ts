import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

import { packBundle } from "@ol/bundle";
import { freePorts } from "@ol/common";
import { RegistryClient, type UploadRequest } from "@ol/registry-client";
import { onTestFinished, vi } from "vitest";

import { RegistryCodeSource, type RegistryCodeSourceOptions } from "../../src/index.ts";

const KEYS = { accessKey: "admin-key", secretKey: "admin-secret-1" } as const;
const READER = { accessKey: "reader-key", secretKey: "the reader's own Schlüssel" } as const;
const BUCKET = "registry";
interface Keys {
  readonly accessKey: string;
  readonly secretKey: string;
}

const START_MS = 30_000;
const PROGRAM = fileURLToPath(new URL("registry-process.mjs", import.meta.url));
const LIBRARY = new URL("../../../registry/dist/index.js", import.meta.url).href;

const reached = async (port: number): Promise<void> => {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
  } finally {
    socket.destroy();
  }
};

/** Files of a lambda's code by path. */
export type Code = Readonly<Record<string, string>>;

export const soon = (): AbortSignal => AbortSignal.timeout(30_000);

/** Where scripts/versitygw.sh puts the server of somebody else. */
export const VERSITYGW: string =
  process.env["OL_TEST_VERSITYGW"] ?? join(homedir(), ".cache", "openlambda", "versitygw-1.8.0", "versitygw");

/** Who is asked for what a worker may: reading. */
export const READER_KEYS: Keys = READER;

/** A real registry, as a process of its own, in a directory that is gone with it; and what is uploaded to it. */
export class TestRegistry implements AsyncDisposable {
  readonly directory: string;
  readonly #program: "ours" | "versitygw";
  readonly #requests: string[] = [];
  #child: ChildProcess | undefined;
  #port = 0;
  #packed = 0;
  #admin: RegistryClient | undefined;

  /** Ours, or versitygw; gone after the test. */
  static async start(program: "ours" | "versitygw" = "ours"): Promise<TestRegistry> {
    const registry = await TestRegistry.make(program);
    onTestFinished(() => registry[Symbol.asyncDispose]());
    await registry.launch();
    await registry.admin.probe(soon());
    registry.requests();
    return registry;
  }

  /** Not started yet, and gone when it is disposed of. */
  static async make(program: "ours" | "versitygw" = "ours"): Promise<TestRegistry> {
    return new TestRegistry(await mkdtemp(join(tmpdir(), "ol-registry-")), program);
  }

  private constructor(directory: string, program: "ours" | "versitygw") {
    this.directory = directory;
    this.#program = program;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#admin?.[Symbol.asyncDispose]();
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }

  get admin(): RegistryClient {
    this.#admin ??= this.#client(KEYS);
    return this.#admin;
  }

  get port(): number {
    return this.#port;
  }

  /** A client with the keys that a worker has, or with others. */
  client(keys: Keys = this.#program === "ours" ? READER : KEYS): RegistryClient {
    const client = this.#client(keys);
    onTestFinished(() => client[Symbol.asyncDispose]());
    return client;
  }

  #client(keys: Keys): RegistryClient {
    const endpoint = new URL(`http://127.0.0.1:${this.#port}`);
    return RegistryClient.create({ endpoint, bucket: BUCKET, ...keys, timeoutMs: 5_000 });
  }

  /** Starts it, again at the same address and on the same directory. */
  async launch(): Promise<void> {
    if (this.#port === 0) this.#port = await freePorts();
    await (this.#program === "ours" ? this.#launchOurs() : this.#launchVersitygw());
  }

  async #launchVersitygw(): Promise<void> {
    const data = join(this.directory, "data");
    await mkdir(data, { recursive: true });
    const args = [
      "--access",
      KEYS.accessKey,
      "--secret",
      KEYS.secretKey,
      "--port",
      `127.0.0.1:${this.#port}`,
    ];
    const child = spawn(VERSITYGW, [...args, "--quiet", "posix", data], { stdio: "ignore" });
    this.#child = child;
    await vi.waitFor(() => reached(this.#port), { timeout: START_MS, interval: 50 });
  }

  async #launchOurs(): Promise<void> {
    const keys = JSON.stringify([
      { ...KEYS, role: "admin" },
      { ...READER, role: "read" },
    ]);
    const args = [PROGRAM, LIBRARY, join(this.directory, "data"), String(this.#port), keys];
    const child = spawn(process.execPath, args, {
      stdio: ["ignore", "pipe", "inherit", "ipc"],
    });
    this.#child = child;
    const lines = createInterface({ input: child.stdout as Readable });
    // Its port, which it says when it listens.
    await once(lines, "line", { signal: AbortSignal.timeout(START_MS) });
    lines.on("line", (line) => this.#requests.push(line));
  }

  /** Ends it at once, as a crash would. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  /** What somebody with another S3 client may do: an object with any bytes, or none any more. */
  async byHand(key: string, file?: string): Promise<void> {
    const child = this.#child as ChildProcess;
    const done = once(child, "message", { signal: AbortSignal.timeout(START_MS) });
    child.send({ bucket: BUCKET, key, file });
    await done;
  }

  /** Stops it without ending it: connections are taken, and nothing is answered. */
  pause(): void {
    this.#child?.kill("SIGSTOP");
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
  }

  /** The requests since this was last asked. */
  requests(): readonly string[] {
    return this.#requests.splice(0);
  }

  /** Packs the code; returns the file and its digest. */
  async pack(code: Code): Promise<{ readonly file: string; readonly digest: string; readonly size: number }> {
    this.#packed += 1;
    const directory = join(this.directory, `code-${this.#packed}`);
    for (const [path, text] of Object.entries(code)) {
      await mkdir(dirname(join(directory, path)), { recursive: true });
      await writeFile(join(directory, path), text);
    }
    const file = `${directory}.tar.gz`;
    const { digest, packedBytes } = await packBundle(directory, file);
    return { file, digest, size: packedBytes };
  }

  /** Packs and uploads; returns the digest. */
  async upload(name: string, code: Code, request: Partial<UploadRequest> = {}): Promise<string> {
    const packed = await this.pack(code);
    await this.admin.upload({ name, ...packed, ...request }, { signal: soon() });
    return packed.digest;
  }

  /** Uploads bytes that nobody checked. */
  async uploadBytes(name: string, bytes: Buffer): Promise<string> {
    this.#packed += 1;
    const file = join(this.directory, `bytes-${this.#packed}.tar.gz`);
    await writeFile(file, bytes);
    const digest = createHash("sha256").update(bytes).digest("hex");
    await this.admin.upload({ name, file, digest, size: bytes.length }, { signal: soon() });
    return digest;
  }
}

/** A cluster's directory, in which workers have their sources. */
export class TestCluster {
  readonly directory: string;
  readonly shelfDir: string;

  static async make(): Promise<TestCluster> {
    const directory = await mkdtemp(join(tmpdir(), "ol-cluster-"));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    return new TestCluster(directory);
  }

  private constructor(directory: string) {
    this.directory = directory;
    this.shelfDir = join(directory, "code");
  }

  codeDir(worker: string): string {
    return join(this.directory, "workers", worker, "code");
  }

  /** A worker's source; it ends with the test unless it was ended before. */
  async source(
    client: RegistryClient,
    options: Partial<RegistryCodeSourceOptions> = {},
  ): Promise<RegistryCodeSource> {
    const workerName = options.workerName ?? "worker-0";
    const source = await RegistryCodeSource.create({
      client,
      codeDir: this.codeDir(workerName),
      shelfDir: this.shelfDir,
      workerName,
      signatures: { mode: "off", trustedKeys: [] },
      ...options,
    });
    onTestFinished(() => source[Symbol.asyncDispose]());
    return source;
  }
}
