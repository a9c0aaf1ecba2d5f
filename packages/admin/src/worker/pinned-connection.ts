import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { connect, type TLSSocket } from "node:tls";

import { systemReason } from "@ol/common";

const certificateIn = async (file: string): Promise<X509Certificate> => {
  let pem: string;
  try {
    pem = await readFile(file, "utf8");
  } catch (error) {
    throw new Error(`its certificate ${file} cannot be read: ${systemReason(error)}`, { cause: error });
  }
  return new X509Certificate(pem);
};

/**
 * A TLS connection to whoever has the certificate in this file: it is known, so nobody has to have signed it, and no name has to be in
 * it. Not one byte is sent to anybody else.
 */
export const connectPinned = async (url: URL, file: string, signal: AbortSignal): Promise<TLSSocket> => {
  const expected = await certificateIn(file);
  const socket = connect({
    // Brackets are the URL's.
    host: url.hostname.replace(/^\[(.*)\]$/u, "$1"),
    port: Number(url.port === "" ? 443 : url.port),
    rejectUnauthorized: false,
    ALPNProtocols: ["http/1.1"],
  });
  const abort = (): void => void socket.destroy(signal.reason as Error);
  try {
    signal.throwIfAborted();
    signal.addEventListener("abort", abort, { once: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("secureConnect", resolve);
      socket.once("error", reject);
      socket.once("end", () => reject(new Error("the connection was closed during the handshake")));
    });
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
  if (socket.getPeerX509Certificate()?.fingerprint256 === expected.fingerprint256) return socket;
  socket.destroy();
  throw new Error(`it shows another certificate than the one in ${file}`);
};
