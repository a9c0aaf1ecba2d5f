import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { TestRegistry, UPLOADER } from "./registry.ts";

/** Where scripts/test.sh puts the clients that are written in Python. */
const PYTHON_CLIENTS = fileURLToPath(new URL("../../../../.cache/registry-clients", import.meta.url));
const PYTHON_DIRECTORY = fileURLToPath(new URL("../python/", import.meta.url));
/** The machine of the tests is busy. */
const PROGRAM_MS = 120_000;
const LARGE_BYTES = 50 * 1024 * 1024;

/** What a program said, and how it ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A registry for other people's clients: with a directory for their files, 50 MB of random bytes in it, and TLS if wanted. */
export class ClientRegistry implements AsyncDisposable {
  readonly registry: TestRegistry;
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string;
  /** The certificate's file; undefined without TLS. */
  readonly certificate: string | undefined;
  /** Where 50 MB are. */
  readonly large: string;
  readonly largeDigest: string;

  static async start(kind: "http" | "https" = "http"): Promise<ClientRegistry> {
    const tls = kind === "https" ? await selfSigned() : undefined;
    const registry = await TestRegistry.start(tls === undefined ? {} : { tls });
    const large = path.join(registry.directory, "large");
    const bytes = randomBytes(LARGE_BYTES);
    await writeFile(large, bytes);
    const certificate = tls === undefined ? undefined : path.join(registry.directory, "ca.pem");
    if (tls !== undefined && certificate !== undefined) await writeFile(certificate, tls.cert);
    return new ClientRegistry(registry, kind, certificate, large, sha256(bytes));
  }

  private constructor(
    registry: TestRegistry,
    kind: "http" | "https",
    certificate: string | undefined,
    large: string,
    largeDigest: string,
  ) {
    this.registry = registry;
    this.endpoint = `${kind}://127.0.0.1:${registry.server.port}`;
    this.certificate = certificate;
    this.large = large;
    this.largeDigest = largeDigest;
  }

  get port(): number {
    return this.registry.server.port;
  }

  /** A file of its own, with that content. */
  async file(name: string, content: string): Promise<string> {
    const file = path.join(this.registry.directory, name);
    await writeFile(file, content);
    return file;
  }

  /** Where there is no file yet. */
  target(name: string): string {
    return path.join(this.registry.directory, name);
  }

  /** Runs a program to its end, with nothing of this machine's configuration. */
  async run(
    program: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Ended> {
    const env = {
      PATH: process.env["PATH"] ?? "",
      HOME: this.registry.directory,
      PYTHONPATH: PYTHON_CLIENTS,
      PYTHONDONTWRITEBYTECODE: "1",
      NO_PROXY: "*",
      ...environment,
    };
    try {
      const ended = await promisify(execFile)(program, args, {
        env,
        timeout: PROGRAM_MS,
        maxBuffer: 16 * 1024 * 1024,
      });
      return { code: 0, ...ended };
    } catch (error) {
      const { code, stdout, stderr } = error as { code?: unknown; stdout?: string; stderr?: string };
      // Anything else did not even run.
      if (typeof code !== "number") throw error;
      return { code, stdout: stdout ?? "", stderr: stderr ?? "" };
    }
  }

  /** Runs `test/python/NAME` with the endpoint, the uploader's keys, 50 MB and the certificate. */
  python(name: string): Promise<Ended> {
    const { accessKey, secretKey } = UPLOADER;
    const args = [
      PYTHON_DIRECTORY + name,
      this.endpoint,
      accessKey,
      secretKey,
      this.large,
      this.certificate ?? "",
    ];
    return this.run("python3", args);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]();
  }
}

/** Where a client of Python's that has no module of its own is. */
export const pythonScript = (name: string): string => path.join(PYTHON_CLIENTS, "bin", name);

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

export const fileSha256 = async (file: string): Promise<string> => sha256(await readFile(file));

/** A certificate for 127.0.0.1 that is its own root. */
export const selfSigned = async (): Promise<{ readonly cert: string; readonly key: string }> => {
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const args = ["req", "-x509", ...curve, ...subject, "-days", "2", "-keyout", "-", "-out", "-"];
  const { stdout } = await promisify(execFile)("openssl", args, { timeout: PROGRAM_MS });
  const pem = (what: string): string => {
    const [found] = new RegExp(`-----BEGIN ${what}-----[^]*?-----END ${what}-----\n`, "u").exec(stdout) ?? [];
    if (found === undefined) throw new Error(`openssl made no ${what}`);
    return found;
  };
  return { cert: pem("CERTIFICATE"), key: pem("PRIVATE KEY") };
};
