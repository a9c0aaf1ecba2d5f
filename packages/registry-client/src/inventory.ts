import {
  blobPrefix,
  digestOfBundle,
  digestOfLock,
  HANDLERS,
  isLambda,
  lambdaPrefix,
  tagPrefix,
  trashPrefix,
} from "./layout.ts";
import type { ListedObject, ObjectAccess } from "./object-access.ts";

/** Every object of one lambda. */
export interface LambdaObjects {
  /** By tag. */
  readonly tags: Map<string, ListedObject>;
  /** By digest. */
  readonly blobs: Map<string, ListedObject>;
  /** By digest; what somebody was about to remove, and did not get to. */
  readonly trash: Map<string, ListedObject>;
  /** With the digest of the version that each belongs to. */
  readonly locks: { readonly digest: string; readonly object: ListedObject }[];
  /** Bundles put there by hand. */
  readonly bare: ListedObject[];
  /** What no program of ours has put there. */
  readonly others: ListedObject[];
}

const nothing = (): LambdaObjects => ({
  tags: new Map(),
  blobs: new Map(),
  trash: new Map(),
  locks: [],
  bare: [],
  others: [],
});

const BARE = /^(?:handlers\/)?(?<name>[^/]+)\.tar\.gz$/u;

/** Files an object of the lambda under what it is. */
const file = (name: string, object: ListedObject, into: LambdaObjects): void => {
  const { key } = object;
  const tag = key.startsWith(tagPrefix(name)) ? key.slice(tagPrefix(name).length) : undefined;
  if (tag !== undefined && tag.endsWith(".json") && !tag.includes("/"))
    return void into.tags.set(tag.slice(0, -".json".length), object);
  const blob = digestOfBundle(blobPrefix(name), key);
  if (blob !== undefined) return void into.blobs.set(blob, object);
  const trash = digestOfBundle(trashPrefix(name), key);
  if (trash !== undefined) return void into.trash.set(trash, object);
  const lock = digestOfLock(name, key);
  if (lock !== undefined) return void into.locks.push({ digest: lock, object });
  into.others.push(object);
};

/** What one lambda has in the store but bare bundles. */
export const objectsOf = async (
  objects: ObjectAccess,
  name: string,
  signal: AbortSignal,
): Promise<LambdaObjects> => {
  const found = nothing();
  for await (const object of objects.list(lambdaPrefix(name), `list the objects of ${name}`, signal))
    file(name, object, found);
  return found;
};

/** What every lambda has in the store, by name. Keys that cannot be a lambda's are left out. */
export const allObjects = async (
  objects: ObjectAccess,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, LambdaObjects>> => {
  const found = new Map<string, LambdaObjects>();
  const of = (name: string): LambdaObjects => {
    const known = found.get(name) ?? nothing();
    found.set(name, known);
    return known;
  };
  const doing = "list the lambdas";
  for await (const object of objects.list(HANDLERS, doing, signal)) {
    const bare = BARE.exec(object.key)?.groups?.["name"];
    const name = bare ?? object.key.slice(HANDLERS.length).split("/", 1)[0] ?? "";
    if (!isLambda(name)) continue;
    if (bare === undefined) file(name, object, of(name));
    else of(name).bare.push(object);
  }
  for await (const entry of objects.top(doing, signal)) {
    const name = BARE.exec(entry.key)?.groups?.["name"];
    if (name !== undefined && isLambda(name)) of(name).bare.push(entry);
  }
  return found;
};
