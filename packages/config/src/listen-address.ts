const LOOPBACK = ["127.0.0.1", "::1"];

/** What to listen on: `localhost` is both of its addresses, and an IPv6 address may have brackets. */
export const addressesOf = (url: string): readonly string[] =>
  url.toLowerCase() === "localhost" ? LOOPBACK : [url.replace(/^\[(?<inside>.*)\]$/u, "$<inside>")];

/** Whether only this machine reaches that address. */
export const isLoopback = (address: string): boolean => address === "::1" || address.startsWith("127.");

/** The address as a URL has it. */
export const urlHost = (url: string): string =>
  url.includes(":") && !url.startsWith("[") ? `[${url}]` : url;
