import { basename, dirname, resolve } from "node:path";

import { readClusterIdentity } from "./cluster-file.ts";

/** Where things are when the configuration does not say. */
export interface Place {
  readonly file: string;
  /** Relative paths begin here. */
  readonly root: string;
  readonly clusterDir?: string;
  readonly clusterId?: string;
  /** The cluster's, if it has one. */
  readonly token?: string;
  /** Of the file, without its ending. */
  readonly name: string;
}

/** In a cluster (config/cluster.json beside the file) relative paths begin at the cluster directory, else at the file's. */
export const placeOf = async (file: string): Promise<Place> => {
  const absolute = resolve(file);
  const directory = dirname(absolute);
  const name = basename(absolute).replace(/\.json$/u, "") || "worker";
  const identity = await readClusterIdentity(directory);
  if (identity === undefined) return { file: absolute, root: directory, name };
  const clusterDir = dirname(directory);
  const token = identity.token === "" ? {} : { token: identity.token };
  return { file: absolute, root: clusterDir, clusterDir, clusterId: identity.id, ...token, name };
};
