import { connect, type Socket } from "node:net";

import { awsSign, type PlainRequest, type WireRequest } from "./aws-signer.ts";
import { ADMIN } from "./registry.ts";

/** A request's head as bytes; `more` are header fields that are not signed. */
export const headOf = ({ method, url, rawHeaders }: WireRequest, more: readonly string[] = []): string => {
  const fields = rawHeaders.map((text, at) => (at % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join("");
  return `${method} ${url} HTTP/1.1\r\n${fields}${more.map((line) => `${line}\r\n`).join("")}\r\n`;
};

/** Signed by the administrator, now. */
export const signedHead = async (
  plain: Partial<PlainRequest>,
  more: readonly string[] = [],
): Promise<string> => {
  const wire = await awsSign(
    {
      method: "PUT",
      path: "/code/wire",
      query: {},
      headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
      ...plain,
    },
    { ...ADMIN, region: "us-east-1", at: new Date() },
  );
  return headOf(wire, more);
};

/** A connection by hand. */
export class Wire {
  readonly socket: Socket;
  /** All that has come. */
  text = "";
  /** Whether the server has ended or reset it. */
  ended = false;

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("data", (data: Buffer) => (this.text += data.toString("latin1")));
    // A reset is an end like any other.
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => (this.ended = true));
    this.socket.on("end", () => (this.ended = true));
  }

  write(data: string | Buffer): void {
    this.socket.write(data);
  }

  /** The status lines of the replies so far. */
  get statuses(): readonly string[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (?<status>\d{3}) /gu)].map(
      (match) => match.groups?.["status"] ?? "",
    );
  }
}
