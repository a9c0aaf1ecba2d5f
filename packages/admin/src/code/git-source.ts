import { usageError } from "../cli/arguments.ts";
import { shown } from "../text.ts";

/** Code in a git repository. */
export interface GitSource {
  /** As git takes it. */
  readonly url: string;
  /** A branch, a tag or a commit; undefined is the repository's own choice. */
  readonly ref: string | undefined;
  /** A directory in it; "" is the whole. */
  readonly directory: string;
}

const SCHEME = /^(?:git\+)?(?<scheme>[a-z][a-z0-9+.-]*):\/\//iu;
/** Nothing else: `ext::` runs a program, `http` and `git` tell nobody who answers. */
const TAKEN = ["https", "ssh", "file"];
/** `user@host:path`, as ssh's users write it. */
const SCP_LIKE = /^[\w.-]+@[\w.-]+:(?!\/\/)/u;
// What git allows in names of branches and tags, and no character that means something to it elsewhere.
const REF = /^[A-Za-z0-9_][\w./+@-]{0,254}$/u;

const refuse = (text: string, why: string): Error =>
  usageError(`--file=${shown(withoutPassword(text))} ${why}`);

/** Passwords are for the server only, also those with an @ in them. */
export const withoutPassword = (text: string): string => text.replaceAll(/(?<=:\/\/)[^/\s]*@/gu, "");

/**
 * Reads `https://...`, `ssh://...`, `file://...` or `user@host:path`, each perhaps with `#REF` or `#REF:DIRECTORY` behind it;
 * undefined for what looks like a file's path. Fails with OL_ADMIN_USAGE.
 */
export const parseGitSource = (text: string): GitSource | undefined => {
  const scheme = SCHEME.exec(text)?.groups?.["scheme"]?.toLowerCase();
  const isExternal = /^[a-z][a-z0-9]*::/iu.test(text);
  if (scheme === undefined && !SCP_LIKE.test(text) && !isExternal) return undefined;
  if (isExternal || (scheme !== undefined && !TAKEN.includes(scheme)))
    throw refuse(
      text,
      `is no address that code is taken from; use ${TAKEN.join("://, ")}:// or user@host:path`,
    );
  const [url = "", fragment = "", ...more] = text.replace(/^git\+/iu, "").split("#");
  if (/\.(?:tar\.gz|tgz|zip)$/iu.test(url))
    throw refuse(text, "is no git repository; download it, then name the file");
  const [ref = "", directory = "", ...rest] = fragment.split(":");
  if (more.length > 0 || rest.length > 0 || (ref !== "" && (!REF.test(ref) || ref.includes(".."))))
    throw refuse(text, "must end in #BRANCH, #TAG or #COMMIT, or that and :DIRECTORY");
  if (directory.startsWith("/") || directory.split("/").includes(".."))
    throw refuse(text, `names the directory ${shown(directory)}, which must be in the repository`);
  // oxlint-disable-next-line no-control-regex -- they have no place in an address
  if (url.startsWith("-") || /[\u0000-\u0020\u007f]/u.test(url)) throw refuse(text, "is no address");
  return { url, ref: ref === "" ? undefined : ref, directory };
};
