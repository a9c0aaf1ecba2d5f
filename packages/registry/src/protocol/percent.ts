import { s3Error } from "../s3-error.ts";

/** Percent-encoded as AWS signatures want it: all but the unreserved characters of RFC 3986, in upper-case hexadecimal. */
export const percentEncode = (text: string): string =>
  encodeURIComponent(text).replaceAll(
    /[!'()*]/gu,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );

/** The same of a path, whose slashes stay. */
export const percentEncodePath = (path: string): string => percentEncode(path).replaceAll("%2F", "/");

/** Fails with InvalidURI for what is not the percent-encoding of UTF-8. */
export const percentDecode = (text: string): string => {
  if (!/^[!-~]*$/u.test(text))
    throw s3Error("InvalidURI", "The path or query has characters that must be percent-encoded.");
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch (error) {
    throw s3Error("InvalidURI", "The path or query is not percent-encoded UTF-8.", { cause: error });
  }
};
