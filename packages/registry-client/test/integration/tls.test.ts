import { randomBytes } from "node:crypto";
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it, onTestFinished } from "vitest";

import { bundle, clientOf, soon, textOf } from "../support/bundles.ts";
import { startOurs, type Tls } from "../support/stores.ts";

/** Not everywhere there is one to make certificates with. */
const PROGRAMS = ["openssl"].filter((program) => spawnSync(program, ["version"]).status === 0);

for (const program of PROGRAMS)
  describe("a registry client over TLS", () => {
    it("trusts the authority that it is told of, and says what to do about one that it is not", async () => {
      const { cert, key, file } = await certificate(program);
      await using store = await startOurs({ cert, key });
      const options = { bucket: `test-${randomBytes(8).toString("hex")}` };
      const trusting = clientOf(store, { ...options, caFile: file });
      expect(await trusting.probe(soon())).toEqual({ conditionalWrites: true });
      const one = await bundle("a", "code");
      await trusting.upload(one, { signal: soon() });
      expect(await textOf(await trusting.download("a", one.digest, soon()))).toBe("code");
      await expect(clientOf(store, options).check(soon())).rejects.toMatchObject({
        code: "OL_REGISTRY_CLIENT_UNREACHABLE",
        message: expect.stringContaining("certificate is not trusted"),
      });
    });
  });

/** For 127.0.0.1, signed by itself. */
const certificate = async (program: string): Promise<Tls & { readonly file: string }> => {
  const directory = await mkdtemp(join(tmpdir(), "ol-tls-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const [key, file] = [join(directory, "key.pem"), join(directory, "cert.pem")];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const made = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "1",
  ];
  spawnSync(program, [...made, ...subject, "-keyout", key, "-out", file]);
  return { cert: await readFile(file, "utf8"), key: await readFile(key, "utf8"), file };
};
