import { createHash } from "node:crypto";
import { once } from "node:events";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

const MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG = "application/vnd.docker.container.image.v1+json";
const LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip";

const digestOf = (bytes: Buffer): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** As much of an image registry as a daemon needs to pull one image, by HTTP on this machine. */
export class ImageRegistry implements AsyncDisposable {
  readonly #server: Server;

  /** `archive` is the one layer of the image `linux/ARCHITECTURE`. */
  static async start(archive: Buffer, architecture = "amd64"): Promise<ImageRegistry> {
    const layer = gzipSync(archive);
    const config = Buffer.from(
      JSON.stringify({
        os: "linux",
        architecture,
        config: {},
        rootfs: { type: "layers", diff_ids: [digestOf(archive)] },
        history: [{ created_by: "a test" }],
      }),
    );
    const describe = (mediaType: string, bytes: Buffer): object => ({
      mediaType,
      size: bytes.length,
      digest: digestOf(bytes),
    });
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: describe(CONFIG, config),
        layers: [describe(LAYER, layer)],
      }),
    );
    const blobs = new Map([layer, config, manifest].map((bytes) => [digestOf(bytes), bytes]));
    const server = createServer((request, response) => {
      const name = request.url?.split("/").at(-1) ?? "";
      const bytes = name === "latest" ? manifest : blobs.get(name);
      if (request.url === "/v2/") response.end();
      else if (bytes === undefined || request.url?.startsWith("/v2/there/") !== true) {
        response.statusCode = 404;
        response.end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
      } else {
        response.setHeader("Content-Type", bytes === manifest ? MANIFEST : "application/octet-stream");
        response.setHeader("Content-Length", bytes.length);
        response.setHeader("Docker-Content-Digest", digestOf(bytes));
        response.end(request.method === "HEAD" ? undefined : bytes);
      }
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new ImageRegistry(server);
  }

  private constructor(server: Server) {
    this.#server = server;
  }

  /** What the image is called; any other name with the same beginning is not there. */
  get image(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}/there`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
