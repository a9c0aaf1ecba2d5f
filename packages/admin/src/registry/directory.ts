import { codePlaceOf, readJsonObject, validateTemplate } from "@ol/config";
import { resolve } from "node:path";

import type { ClusterPaths } from "../cluster/paths.ts";
import { adminError } from "../errors.ts";

/** The directory of the cluster's local registry. Fails with OL_ADMIN_REGISTRY if it has none. */
export const registryDirectory = async (paths: ClusterPaths): Promise<string> => {
  const template = validateTemplate(await readJsonObject(paths.template), paths.template);
  const place = codePlaceOf(template, (path) => resolve(paths.root, path));
  if ("directory" in place) return place.directory;
  throw adminError("OL_ADMIN_REGISTRY", "the cluster's registry is an S3 store, and no directory");
};
