const PREFIXES = ["/run/", "/runLambda/"] as const;

/** Where the path, query and fragment of an address begin. */
const pathStart = (target: string): number => {
  const slash = target.indexOf("/", target.indexOf("://") + 3);
  return slash < 0 ? target.length : slash;
};

/**
 * The path and query of a request's target. The absolute form (`GET http://host/path`) is for proxies, which this
 * is not: it is taken only if it names the same host as the Host header, or one of the two lies.
 * Fails with what `refuse` makes.
 */
export const originForm = (
  target: string,
  host: string | undefined,
  refuse: (message: string) => Error,
): string => {
  if (target.startsWith("/") || target === "*") return target;
  const scheme = /^https?:\/\//iu.exec(target);
  if (scheme === null) throw refuse("the request's target is not a path");
  const start = pathStart(target);
  const authority = target.slice(scheme[0].length, start);
  if (host === undefined || authority.toLowerCase() !== host.toLowerCase())
    throw refuse("the request's target names another host than its Host header");
  return target.slice(start) || "/";
};

/**
 * The lambda's name in a path such as /run/NAME, /run/NAME/more?query or /runLambda/NAME; it may be empty or bad.
 * Undefined for any other path. Nothing is normalised: `/run/../x` asks for a lambda named `..`.
 */
export const lambdaName = (path: string): string | undefined => {
  for (const prefix of PREFIXES) {
    if (path.startsWith(prefix)) return decoded(segment(path, prefix.length));
    const bare = prefix.slice(0, -1);
    if (path === bare || path.startsWith(`${bare}?`)) return "";
  }
  return undefined;
};

const segment = (path: string, from: number): string => {
  let end = from;
  for (; end < path.length; end += 1) {
    const character = path.charCodeAt(end);
    // "/" "?" "#"
    if (character === 47 || character === 63 || character === 35) break;
  }
  return path.slice(from, end);
};

/** Some clients write `@` as %40. Whatever cannot be decoded stays as it is: it is no name then. */
const decoded = (text: string): string => {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

/** Where an app is mounted, and what of the target is its own; undecoded. */
export interface SplitTarget {
  readonly mount: string;
  readonly path: string;
  readonly query: string;
}

/** Splits a target whose path is /run/NAME..., as `lambdaName` knows it. */
export const splitTarget = (target: string): SplitTarget => {
  const prefix = PREFIXES.find((start) => target.startsWith(start)) ?? "";
  const mountEnd = prefix.length + segment(target, prefix.length).length;
  const hash = target.indexOf("#", mountEnd);
  const whole = hash < 0 ? target : target.slice(0, hash);
  const mark = whole.indexOf("?", mountEnd);
  const pathEnd = mark < 0 ? whole.length : mark;
  return {
    mount: target.slice(0, mountEnd),
    path: whole.slice(mountEnd, pathEnd),
    query: mark < 0 ? "" : whole.slice(mark + 1),
  };
};
