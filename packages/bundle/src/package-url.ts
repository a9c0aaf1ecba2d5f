import { badRequirement } from "./bad-requirement.ts";

const FRAGMENT = /#sha256=[0-9A-Fa-f]{64}$/u;

/**
 * The URL of a package, checked: a wheel (anything else would have to run code to be built) by https, nobody's
 * password in it, and with the digest that makes it always the same file.
 */
export const packageUrl = (text: string): string => {
  if (!text.startsWith("https://")) throw badRequirement("has no https:// URL behind its @; write one");
  if (!FRAGMENT.test(text))
    throw badRequirement("has a URL that does not end in #sha256= and 64 hex digits; add them");
  const [before = "", fragment = ""] = text.split("#", 2);
  if (!URL.canParse(before) || /["'\\<>^`{|}]/u.test(text))
    throw badRequirement("has a URL that is not valid");
  const url = new URL(before);
  if (url.username !== "" || url.password !== "")
    throw badRequirement("has a URL with a name or password in it, which everybody would see; remove it");
  if (!url.pathname.endsWith(".whl"))
    throw badRequirement("has the URL of something that is no wheel; name a file that ends in .whl");
  return `${before}#${fragment.toLowerCase()}`;
};
