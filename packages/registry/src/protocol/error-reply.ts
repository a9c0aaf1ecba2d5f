import type { OutgoingHttpHeaders } from "node:http";

import type { S3Error } from "../s3-error.ts";
import type { Exchange } from "./exchange.ts";
import { endAfterLeftover, mustClose } from "./leftover.ts";
import { xmlDocument } from "./xml-writer.ts";

const XML_TYPE = "application/xml";

/** An error as S3's clients read it. `resource` is the path of the request. */
export const errorDocument = (
  { code, message, details }: S3Error,
  resource: string,
  requestId: string,
): string =>
  xmlDocument([
    "Error",
    [
      ["Code", code],
      ["Message", message],
      ...Object.entries(details),
      ["Resource", resource],
      ["RequestId", requestId],
      ["HostId", requestId],
    ],
  ]);

/** Answers a request with an error, as long as nothing has been sent; else all that is left is to break the reply off. */
export const sendError = (exchange: Exchange, error: S3Error): void => {
  const { request, response, id } = exchange;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const close = mustClose(request, exchange.expectsContinue);
  const headers = { ...headersOf(error), ...(close && { Connection: "close" }) };
  const document = errorDocument(error, exchange.path, id);
  if (request.complete || exchange.expectsContinue) {
    exchange.send(error.status, document, headers);
    return;
  }
  exchange.write(error.status, document, headers);
  endAfterLeftover(request, response);
};

const headersOf = ({ code, details }: S3Error): OutgoingHttpHeaders => {
  const { ActualObjectSize: size, Region: region } = details;
  return {
    "Content-Type": XML_TYPE,
    ...(size !== undefined && { "Content-Range": `bytes */${size}` }),
    ...(region !== undefined && { "x-amz-bucket-region": region }),
    ...((code === "SlowDown" || code === "ServiceUnavailable") && { "Retry-After": "1" }),
  };
};
