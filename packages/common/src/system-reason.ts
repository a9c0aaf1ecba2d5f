/** What the kernel's refusals mean to a person, for those that people can do something about. */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied, it belongs to another user",
  EDQUOT: "this user's disk quota is used up",
  EIO: "the disk reports an error",
  EISDIR: "it is a directory",
  ELOOP: "it is a symbolic link, or links lead in a circle",
  EMFILE: "too many files are open",
  ENAMETOOLONG: "its name is too long",
  ENOENT: "there is none",
  ENOSPC: "the disk is full",
  ENOTDIR: "something in its path is no directory",
  EPERM: "the system does not permit it",
  EROFS: "the file system is read-only",
};

/** Why the operating system refused something, in words and with the code to search for: "the disk is full (ENOSPC)". */
export const systemReason = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  if (code === undefined) return error.message;
  const words = REASONS[code];
  return words === undefined ? code : `${words} (${code})`;
};
