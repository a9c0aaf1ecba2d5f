import type { Arguments } from "../cli/arguments.ts";
import type { Context } from "../cli/command.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { connectRegistry } from "./access.ts";
import { LocalRegistry } from "./local-registry.ts";
import { RemoteRegistry } from "./remote-registry.ts";

/** Where a cluster's workers find the code of lambdas. */
export interface CodeRegistry extends AsyncDisposable {
  /** How messages call it. */
  readonly place: string;
  has(name: string): Promise<boolean>;
  /** A new empty directory in which code is put together; who asks for it removes it with `discard`. */
  stage(): Promise<string>;
  /** Makes `directory`, made below a stage, the code of the lambda `name`, in place of what that was. */
  put(name: string, directory: string): Promise<void>;
  /** Deletes a lambda; it is gone at once and as a whole. */
  remove(name: string): Promise<void>;
  discard(stage: string): Promise<void>;
}

/** The registry of the cluster, to put code into. */
export const openRegistry = async (
  args: Arguments,
  context: Context,
  paths: ClusterPaths,
): Promise<CodeRegistry> => {
  const client = await connectRegistry("write", args, context, paths);
  return client === undefined
    ? LocalRegistry.of(paths, context.signal)
    : new RemoteRegistry(client, paths, context.signal);
};
