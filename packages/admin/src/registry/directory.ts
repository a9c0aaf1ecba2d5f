import { readJsonObject, validateTemplate } from "@ol/config";
import { resolve } from "node:path";

import type { ClusterPaths } from "../cluster/paths.ts";

/** The directory of the cluster's local registry. */
export const registryDirectory = async (paths: ClusterPaths): Promise<string> => {
  const template = validateTemplate(await readJsonObject(paths.template), paths.template);
  return resolve(paths.root, template.registry_dir ?? "registry");
};
