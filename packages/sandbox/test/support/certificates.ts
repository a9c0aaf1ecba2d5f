import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";

const NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

/**
 * An authority of its own in this directory, as Docker's documentation has it: ca.pem; server-cert.pem and server-key.pem for
 * 127.0.0.1; cert.pem and key.pem for who connects. Good for a day.
 */
export const makeCertificates = (directory: string): void => {
  const openssl = (words: string): void => {
    execFileSync("openssl", words.split(" "), { cwd: directory, stdio: "ignore" });
  };
  openssl(`req -x509 -days 1 ${NEW_KEY} -keyout ca-key.pem -out ca.pem -subj /CN=authority`);
  const sign = (name: string, prefix: string, extensions: string): void => {
    writeFileSync(path.join(directory, "extensions"), extensions);
    openssl(`req ${NEW_KEY} -keyout ${prefix}key.pem -out request.pem -subj /CN=${name}`);
    const authority = "-CA ca.pem -CAkey ca-key.pem -CAcreateserial";
    openssl(`x509 -req -days 1 -in request.pem -out ${prefix}cert.pem ${authority} -extfile extensions`);
  };
  sign("daemon", "server-", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth");
  sign("client", "", "extendedKeyUsage=clientAuth");
};
