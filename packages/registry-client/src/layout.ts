/**
 * Which objects there are. A blob is named after its content and never changes; a tag is a small JSON record that says
 * which blob is meant; so a version is a blob, and publishing or rolling back is one write of one small object.
 */
export const HANDLERS = "handlers/";

/** Where a lambda has everything. */
export const lambdaPrefix = (name: string): string => `${HANDLERS}${name}/`;

export const blobPrefix = (name: string): string => `${lambdaPrefix(name)}blobs/`;
export const blobKey = (name: string, digest: string): string => `${blobPrefix(name)}${digest}.tar.gz`;

export const tagPrefix = (name: string): string => `${lambdaPrefix(name)}tags/`;
export const tagKey = (name: string, tag: string): string => `${tagPrefix(name)}${tag}.json`;

export const lockPrefix = (name: string): string => `${lambdaPrefix(name)}locks/`;
/** Of one version of the code, for one Python on one kind of machine. */
export const lockKey = (name: string, digest: string, python: string, machine: string): string =>
  `${lockPrefix(name)}${digest}-${python}-${machine}.txt`;

/** Where a bundle is for the moment in which it is removed, so that it can come back. */
export const trashPrefix = (name: string): string => `${lambdaPrefix(name)}trash/`;
export const trashKey = (name: string, digest: string): string => `${trashPrefix(name)}${digest}.tar.gz`;

/** Bundles that somebody put there by hand, in the order in which they are looked for. They count as `latest` while that tag is missing. */
export const bareKeys = (name: string): readonly string[] => [`${HANDLERS}${name}.tar.gz`, `${name}.tar.gz`];

/** The tag that a name without one means. */
export const LATEST = "latest";

const DIGEST = /^[0-9a-f]{64}$/u;

export const isDigest = (text: string): boolean => DIGEST.test(text);

/** The digest that a bundle's key below `prefix` names; undefined if it is no bundle's. */
export const digestOfBundle = (prefix: string, key: string): string | undefined => {
  if (!key.startsWith(prefix) || !key.endsWith(".tar.gz")) return undefined;
  const digest = key.slice(prefix.length, -".tar.gz".length);
  return isDigest(digest) ? digest : undefined;
};

/** The version that a lock's key names; undefined if it is no lock's. */
export const digestOfLock = (name: string, key: string): string | undefined => {
  const prefix = lockPrefix(name);
  if (!key.startsWith(prefix) || !key.endsWith(".txt")) return undefined;
  const digest = key.slice(prefix.length, prefix.length + 64);
  return isDigest(digest) ? digest : undefined;
};

const NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/u;

/** Whether a part of a key can be a lambda's name: a bucket may hold anything. */
export const isLambda = (text: string): boolean => NAME.test(text) && !text.endsWith(".tar.gz");
