import { resolve } from "node:path";

import { isOlError } from "@ol/common";
import {
  codePlaceOf,
  readJsonObject,
  type StorePlace,
  validateTemplate,
  type WorkerTemplate,
} from "@ol/config";
import { RegistryClient, type RegistryClientOptions } from "@ol/registry-client";

import { type Arguments, usageError } from "../cli/arguments.ts";
import type { Context, OptionSpec } from "../cli/command.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { adminError } from "../errors.ts";
import { asClusterFlag, shown } from "../text.ts";
import { DEFAULT_BUCKET, type RegistryKeys, type RegistryPlan, readRegistryPlan } from "./plan.ts";

/** The options of every command that speaks to a registry. */
export const REGISTRY_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  address: {
    kind: "text",
    value: "URL",
    about: "the registry, such as http://localhost:9000; default: the cluster's",
  },
  "access-key": {
    kind: "text",
    value: "KEY",
    about: "the registry's access key; default: $OL_ACCESS_KEY, else what config/registry.json has",
  },
  "secret-key": {
    kind: "text",
    value: "KEY",
    about: "its secret key; default: $OL_SECRET_KEY, else as above",
  },
};

/** Where the cluster's workers get code, if that is a store; their keys may only read. */
interface StoreOfWorkers extends StorePlace {
  readonly keys: RegistryKeys | undefined;
}

const templateOf = async ({ template }: ClusterPaths): Promise<WorkerTemplate> =>
  validateTemplate(await readJsonObject(template), template);

/** The file of certificates that the cluster trusts besides the system's; undefined if it names none. */
export const trustedCertificates = async (paths: ClusterPaths): Promise<string | undefined> => {
  const { registry_ca: file } = await templateOf(paths);
  return file === undefined ? undefined : resolve(paths.root, file);
};

const storeOfWorkers = async (paths: ClusterPaths): Promise<StoreOfWorkers | undefined> => {
  const template = await templateOf(paths);
  const place = codePlaceOf(template, (path) => resolve(paths.root, path));
  if ("directory" in place) return undefined;
  const { registry_access_key: accessKey, registry_secret_key: secretKey } = template;
  const keys = accessKey === undefined || secretKey === undefined ? undefined : { accessKey, secretKey };
  return { ...place.store, keys };
};

const urlOf = (text: string, what: string): URL => {
  const withScheme = text.includes("://") ? text : `http://${text}`;
  // What is before an @ may be a password, and is not shown.
  if (!URL.canParse(withScheme))
    throw usageError(
      `${what} ${shown(text.replace(/.*@/su, ""))} is no address such as http://localhost:9000`,
    );
  const url = new URL(withScheme);
  if (url.username !== "" || url.password !== "")
    throw usageError(`${what} holds a user or a password; keys have options of their own: see --access-key`);
  return url;
};

/** Both keys from the command line, or from the environment; undefined if neither is there. */
export const givenKeys = (
  args: Arguments,
  { environment }: Pick<Context, "environment">,
): RegistryKeys | undefined => {
  const pick = (option: string, variable: string): string | undefined =>
    args.text(option) ?? (environment[variable] === "" ? undefined : environment[variable]);
  const [accessKey, secretKey] = [pick("access-key", "OL_ACCESS_KEY"), pick("secret-key", "OL_SECRET_KEY")];
  if (accessKey === undefined && secretKey === undefined) return undefined;
  if (accessKey === undefined || secretKey === undefined)
    throw usageError(
      "an access key and its secret key go together: --access-key and --secret-key, or $OL_ACCESS_KEY and $OL_SECRET_KEY",
    );
  return { accessKey, secretKey };
};

/** What the keys are wanted for: those of config/registry.json may write, those of the workers only read. */
export type Purpose = "read" | "write";

const optionsFor = (
  purpose: Purpose,
  given: { readonly address: string | undefined; readonly keys: RegistryKeys | undefined },
  store: StoreOfWorkers | undefined,
  plan: RegistryPlan | undefined,
): RegistryClientOptions | undefined => {
  if (given.address === undefined && store === undefined) return undefined;
  const address = given.address ?? store?.endpoint ?? plan?.url;
  if (address === undefined)
    throw adminError(
      "OL_ADMIN_REGISTRY",
      "template.json says that there is a registry, and not where: registry_server is missing",
    );
  // Our keys are for our own registry: a stranger's address gets none of them.
  const endpoint = urlOf(address, given.address === undefined ? "registry_server" : "--address");
  const ours =
    (plan !== undefined && endpoint.origin === new URL(plan.url).origin ? plan.admin : undefined) ??
    (purpose === "read" && endpoint.origin === store?.endpoint ? store.keys : undefined);
  const keys = given.keys ?? ours;
  if (keys === undefined)
    throw adminError(
      "OL_ADMIN_REGISTRY",
      `there are no keys that may ${purpose === "write" ? "change" : "read"} the registry at ${address}; give them by --access-key and --secret-key, or $OL_ACCESS_KEY and $OL_SECRET_KEY`,
    );
  return {
    endpoint,
    bucket: store?.bucket ?? plan?.bucket ?? DEFAULT_BUCKET,
    ...keys,
    ...(store?.region !== undefined && { region: store.region }),
    ...(store?.caFile !== undefined && { caFile: store.caFile }),
  };
};

/**
 * The registry that is meant: the one that `--address` names, else the cluster's; undefined if that is a directory. `paths` is
 * undefined where no cluster is meant. Fails with OL_ADMIN_REGISTRY if there are no keys for it.
 */
export const connectRegistry = async (
  purpose: Purpose,
  args: Arguments,
  context: Pick<Context, "environment">,
  paths: ClusterPaths | undefined,
): Promise<RegistryClient | undefined> => {
  const given = { address: args.text("address"), keys: givenKeys(args, context) };
  const store = paths === undefined ? undefined : await storeOfWorkers(paths);
  const plan = paths === undefined ? undefined : await readRegistryPlan(paths);
  const options = optionsFor(purpose, given, store, plan);
  return options === undefined ? undefined : RegistryClient.create(options);
};

/** Says what to do about a registry that does not answer, where that can be known: if it is the cluster's own. */
export const withAdvice = async <T>(
  paths: ClusterPaths | undefined,
  { address }: Pick<RegistryClient, "address">,
  work: Promise<T>,
): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    if (paths === undefined || !isOlError(error, "OL_REGISTRY_CLIENT_UNREACHABLE")) throw error;
    const plan = await readRegistryPlan(paths);
    if (plan === undefined || new URL(plan.url).origin !== address) throw error;
    throw adminError(
      "OL_ADMIN_REGISTRY",
      `${error.message}; if it does not run, start it: npx ol-admin registry ${asClusterFlag(paths.root)}`,
      { cause: error },
    );
  }
};
