/** Bytes that readers of HTTP are known to disagree about, by name. Each is for /run/x, on a connection of its own. */
export const ODD_REQUESTS: Readonly<Record<string, string>> = {
  ...framing(),
  ...lengths(),
  ...codings(),
  ...heads(),
  ...lines(),
};

/** A request of the name `smuggled`, to be hidden behind another one. */
function smuggled(): string {
  return "GET /run/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
}

function post(fields: readonly string[], body: string, method = "POST"): string {
  return [`${method} /run/x HTTP/1.1`, "Host: a", ...fields, "", body].join("\r\n");
}

function chunked(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
}

function framing(): Record<string, string> {
  const TE = "Transfer-Encoding: chunked";
  return {
    "a plain GET": post([], "", "GET"),
    "a plain POST": post(["Content-Length: 5"], "hello"),
    "a plain chunked POST": post([TE], chunked("hello")),
    "two requests in a row": post(["Content-Length: 5"], "hello") + post(["Content-Length: 2"], "hi"),
    "an empty line before the request": `\r\n${post([], "", "GET")}`,
    "GET with a length": post(["Content-Length: 5"], "hello", "GET"),
    "GET with chunks": post([TE], chunked(smuggled()), "GET"),
    "HEAD with a length": post([`Content-Length: ${smuggled().length}`], smuggled(), "HEAD"),
    "DELETE with chunks": post([TE], chunked(smuggled()), "DELETE"),
    "OPTIONS with chunks": post([TE], chunked(smuggled()), "OPTIONS"),
    "DELETE with a length": post([`Content-Length: ${smuggled().length}`], smuggled(), "DELETE"),
    "a length and chunks, the chunks end first": post(["Content-Length: 60", TE], `0\r\n\r\n${smuggled()}`),
    "a length and chunks, the length ends first": post(["Content-Length: 4", TE], chunked(smuggled())),
    "chunks and a length": post([TE, "Content-Length: 4"], chunked(smuggled())),
    "a chunk extension": post([TE], "5;a=b\r\nhello\r\n0\r\n\r\n"),
    "a chunk extension with a line feed": post([TE], `5;a\nb\r\nhello\r\n0\r\n\r\n`),
    "a quoted chunk extension": post([TE], '5;a="b\r\nhello\r\n0\r\n\r\n'),
    "a chunk size with zeros before it": post([TE], "0000005\r\nhello\r\n0\r\n\r\n"),
    "a chunk size with a space behind it": post([TE], "5 \r\nhello\r\n0\r\n\r\n"),
    "a chunk size with a sign": post([TE], "+5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size with 0x": post([TE], "0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size of 65 bits": post([TE], `10000000000000005\r\nhello\r\n0\r\n\r\n${smuggled()}`),
    "chunks with bare line feeds": post([TE], "5\nhello\n0\n\n"),
    "a last chunk with a bare line feed": post([TE], `5\r\nhello\r\n0\r\n\n${smuggled()}`),
    "a chunk that is longer than it says": post([TE], `2\r\nhello\r\n0\r\n\r\n${smuggled()}`),
    "a chunk that ends with other than CRLF": post([TE], `5\r\nhelloXX0\r\n\r\n${smuggled()}`),
    "a trailer": post([TE], "5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n"),
    "a trailer that is a length": post([TE], `5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n${smuggled()}`),
    "HTTP/1.0 with chunks": `POST /run/x HTTP/1.0\r\nHost: a\r\n${TE}\r\n\r\n${chunked(smuggled())}`,
    "HTTP/1.0 with a length": "POST /run/x HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.0 that keeps alive": `GET /run/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n${smuggled()}`,
  };
}

function lengths(): Record<string, string> {
  const of = (...values: string[]): string =>
    post(
      values.map((value) => `Content-Length: ${value}`),
      `hello${smuggled()}`,
    );
  return {
    "a length twice, the same": of("5", "5"),
    "a length twice, another one": of("5", "0"),
    "a length that is a list, the same": of("5, 5"),
    "a length that is a list": of("5, 0"),
    "a length with a plus": of("+5"),
    "a length with a minus": of("-5"),
    "a length in hex": of("0x5"),
    "a length with text behind it": of("5 a"),
    "a length with a space in it": of("5 0"),
    "a length with zeros before it": of("0005"),
    "a length with a form feed": of("\f5"),
    "a length with a NUL": of("5\x00"),
    "no length": of(""),
    "a length of 65 bits": of("18446744073709551621"),
    "a length with a space before the colon": post(["Content-Length : 5"], `hello${smuggled()}`),
    "a length with an underscore": post(["Content_Length: 5"], smuggled()),
    "a length that Connection names": post(["Content-Length: 5", "Connection: Content-Length"], "hello"),
  };
}

function codings(): Record<string, string> {
  const of = (...fields: string[]): string => post(fields, `0\r\n\r\n${smuggled()}`);
  const withLength = (field: string): string => post(["Content-Length: 4", field], `0\r\n\r\n${smuggled()}`);
  return {
    "the coding xchunked": of("Transfer-Encoding: xchunked"),
    "the coding xchunked, and a length": withLength("Transfer-Encoding: xchunked"),
    "the coding identity": of("Transfer-Encoding: identity"),
    "the coding identity, and a length": withLength("Transfer-Encoding: identity"),
    "the coding gzip, chunked": of("Transfer-Encoding: gzip, chunked"),
    "the coding chunked, gzip": of("Transfer-Encoding: chunked, gzip"),
    "chunked twice in one field": of("Transfer-Encoding: chunked, chunked"),
    "chunked in two fields": of("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    "chunked and identity in two fields": of("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "chunked in capitals": post(["TRANSFER-ENCODING: CHUNKED"], chunked("hello")),
    "chunked behind a tab": post(["Transfer-Encoding:\tchunked"], chunked("hello")),
    "chunked behind a vertical tab": of("Transfer-Encoding:\vchunked"),
    "chunked behind a NUL": of("Transfer-Encoding: \x00chunked"),
    "chunked in quotes": of('Transfer-Encoding: "chunked"'),
    "chunked with a parameter": of("Transfer-Encoding: chunked;q=1"),
    "chunked with a comma before it": of("Transfer-Encoding: ,chunked"),
    "a coding with a space before the colon": of("Transfer-Encoding : chunked"),
    "a coding behind a bare line feed": post(
      ["Content-Length: 4", "X-A: b\nTransfer-Encoding: chunked"],
      `0\r\n\r\n${smuggled()}`,
    ),
    "a coding behind a bare carriage return": post(
      ["Content-Length: 4", "X-A: b\rTransfer-Encoding: chunked"],
      `0\r\n\r\n${smuggled()}`,
    ),
    "a coding in a folded field": post(
      ["Content-Length: 4", "X-A: b\r\n Transfer-Encoding: chunked"],
      `0\r\n\r\n`,
    ),
    "a coding that is folded": of("Transfer-Encoding:\r\n chunked"),
    "a coding with an underscore": withLength("Transfer_Encoding: chunked"),
    "an empty coding": withLength("Transfer-Encoding:"),
    "a coding that Connection names": post(
      ["Transfer-Encoding: chunked", "Connection: Transfer-Encoding"],
      chunked("hello"),
    ),
  };
}

function heads(): Record<string, string> {
  const of = (...fields: string[]): string => post(fields, "", "GET");
  return {
    "no Host": "GET /run/x HTTP/1.1\r\n\r\n",
    "two Hosts": of("Host: a"),
    "an empty Host": "GET /run/x HTTP/1.1\r\nHost:\r\n\r\n",
    "a Host with a space before the colon": "GET /run/x HTTP/1.1\r\nHost : a\r\n\r\n",
    "a field without a colon": of("X-A"),
    "a field without a name": of(": a"),
    "a field name with a space": of("X A: b"),
    "a field name with a NUL": of("X\x00A: b"),
    "a field name with a high byte": of("X\xe9: b"),
    "a field value with a NUL": of("X-A: b\x00c"),
    "a field value with a control character": of("X-A: b\x01c"),
    "a field value with a high byte": of("X-A: \xe9"),
    "a field value with a carriage return": of("X-A: b\rX-B: c"),
    "a folded field": of("X-A: b\r\n c"),
    "a space before the first field": "GET /run/x HTTP/1.1\r\n X-A: b\r\nHost: a\r\n\r\n",
    "bare line feeds in the head": "GET /run/x HTTP/1.1\nHost: a\n\n",
    "an end of the head by a bare line feed": `GET /run/x HTTP/1.1\r\nHost: a\r\n\n${smuggled()}`,
    "a Connection that names Host": of("Connection: Host"),
    "an upgrade to h2c": of("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAA"),
    "an expectation that nobody knows": post(["Expect: 200-maybe", "Content-Length: 5"], "hello"),
    "TE: trailers": of("TE: trailers", "Connection: TE"),
  };
}

function requestOf(line: string): string {
  return `${line}\r\nHost: a\r\n\r\n`;
}

function lines(): Record<string, string> {
  const of = requestOf;
  return {
    "two spaces before the path": of("GET  /run/x HTTP/1.1"),
    "two spaces behind the path": of("GET /run/x  HTTP/1.1"),
    "a tab before the path": of("GET\t/run/x HTTP/1.1"),
    "a space before the method": of(" GET /run/x HTTP/1.1"),
    "a space in the path": of("GET /run/x y HTTP/1.1"),
    "a method in small letters": of("get /run/x HTTP/1.1"),
    "a method that nobody knows": of("BREW /run/x HTTP/1.1"),
    "no version": "GET /run/x\r\n\r\n",
    "HTTP/1.2": of("GET /run/x HTTP/1.2"),
    "HTTP/2.0": of("GET /run/x HTTP/2.0"),
    "HTTP/1.10": of("GET /run/x HTTP/1.10"),
    "http/1.1 in small letters": of("GET /run/x http/1.1"),
    "a version with a space": of("GET /run/x HTTP/ 1.1"),
    "the absolute form of its Host": of("GET http://a/run/x HTTP/1.1"),
    "the absolute form of another host": of("GET http://b/run/x HTTP/1.1"),
    "a path with a NUL": of("GET /run/x\x00 HTTP/1.1"),
    "a path with a high byte": of("GET /run/x/\xe9 HTTP/1.1"),
    "a path with a fragment": of("GET /run/x#/y HTTP/1.1"),
    "a path with two slashes": of("GET /run/x//y HTTP/1.1"),
    "a path with dots": of("GET /run/x/../y HTTP/1.1"),
    "a path with escaped dots and slashes": of("GET /run/x/%2e%2e%2fy HTTP/1.1"),
    "a path with a bad escape": of("GET /run/x/%zz HTTP/1.1"),
    "a path with a backslash": of("GET /run/x\\..\\y HTTP/1.1"),
    "a line that ends with a space": of("GET /run/x HTTP/1.1 "),
    "a TLS greeting": "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
    PRI: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  };
}
