/** What node:http itself could not read, as a whole reply that ends its connection. Undefined if there is nobody to read one. */
export const clientErrorReply = (code: string | undefined): string | undefined => {
  if (code === "ECONNRESET") return undefined;
  const [line, text] = CLIENT_ERRORS[code ?? ""] ?? ["400 Bad Request", "this is not HTTP as we know it"];
  return lastReply(line, text);
};

/** A reply as bytes, after which its connection ends. `line` is its status and reason, `text` one line of ASCII. */
export const lastReply = (line: string, text: string): string => {
  const body = `${text}\n`;
  return `HTTP/1.1 ${line}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
};

const CLIENT_ERRORS: Readonly<Record<string, readonly [string, string]>> = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "the request's header is too large"],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "the request's header did not come in time"],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: ["413 Payload Too Large", "the request's chunk extensions are too large"],
};
