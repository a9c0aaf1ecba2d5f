/** The longest that anybody uses is a date with a commit. */
const MAX_LENGTH = 100;

/** Appendix B of PEP 440. */
const VERSION = new RegExp(
  [
    "^v?(?:(?<epoch>[0-9]+)!)?(?<release>[0-9]+(?:\\.[0-9]+)*)",
    "(?:[-_.]?(?<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?<preNumber>[0-9]*))?",
    "(?<post>-(?<postOnly>[0-9]+)|[-_.]?(?:post|rev|r)[-_.]?(?<postNumber>[0-9]*))?",
    "(?<dev>[-_.]?dev[-_.]?(?<devNumber>[0-9]*))?",
    "(?:\\+(?<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?$",
  ].join(""),
  "iu",
);

const PRE: Readonly<Record<string, string>> = { alpha: "a", beta: "b", c: "rc", pre: "rc", preview: "rc" };

const plain = (digits: string | undefined): string => (digits ?? "").replace(/^0+(?=[0-9])/u, "") || "0";

const plainLocal = (segment: string): string => (/^[0-9]+$/u.test(segment) ? plain(segment) : segment);

/** What a version says. */
export interface Version {
  /** Its one spelling: `V1.0-Alpha.1` is `1.0a1`. Zeros at its end stay. */
  readonly text: string;
  /** How many numbers its release has: 3 in `1.2.3rc1`. */
  readonly releases: number;
  /** Whether it has a local label, such as `+cpu`. */
  readonly local: boolean;
}

/** A version by PEP 440; undefined if it is none. */
export const parseVersion = (text: string): Version | undefined => {
  const parts = text.length > MAX_LENGTH ? undefined : VERSION.exec(text)?.groups;
  if (parts === undefined) return undefined;
  const { epoch, release = "", pre, preNumber, post, postOnly, postNumber, dev, devNumber, local } = parts;
  const numbers = release.split(".").map(plain);
  let spelled = numbers.join(".");
  if (plain(epoch) !== "0") spelled = `${plain(epoch)}!${spelled}`;
  if (pre !== undefined) spelled += `${PRE[pre.toLowerCase()] ?? pre.toLowerCase()}${plain(preNumber)}`;
  if (post !== undefined) spelled += `.post${plain(postOnly ?? postNumber)}`;
  if (dev !== undefined) spelled += `.dev${plain(devNumber)}`;
  if (local !== undefined) spelled += `+${local.toLowerCase().split(/[-_.]/u).map(plainLocal).join(".")}`;
  return { text: spelled, releases: numbers.length, local: local !== undefined };
};

/** The one spelling of a version, or undefined if it is none by PEP 440. */
export const normalizeVersion = (text: string): string | undefined => parseVersion(text)?.text;
