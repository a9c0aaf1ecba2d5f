import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { checkLambdaName, ENTRY_FILES, isLambdaName } from "@ol/bundle";
import { systemReason } from "@ol/common";
import type { ListedLambda, RegistryClient, Version } from "@ol/registry-client";

import type { Arguments } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context, JSON_OPTION } from "../cli/command.ts";
import { withProgress } from "../cli/progress.ts";
import { openCluster } from "../cluster/discover.ts";
import type { ClusterPaths } from "../cluster/paths.ts";
import { adminError } from "../errors.ts";
import { connectRegistry, REGISTRY_OPTIONS, withAdvice } from "../registry/access.ts";
import { registryDirectory } from "../registry/directory.ts";
import { connectStore } from "../registry/store.ts";
import { escapeControls, shown, table } from "../text.ts";

const PACKED = ".tar.gz";
/** As many digits of a digest as nobody has twice. */
const DIGITS = 12;

/** A lambda in the local registry. */
interface Listed {
  readonly name: string;
  /** The file that is run, if it is one of the two usual ones; of a bundle, the bundle's. */
  readonly entry: string | undefined;
  /** When the directory or file last changed, as ISO 8601. */
  readonly modified: string;
}

const describe = (registry: string, file: string): Listed | undefined => {
  const path = join(registry, file);
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  const modified = stats.mtime.toISOString();
  if (stats.isFile() && file.endsWith(PACKED) && isLambdaName(file.slice(0, -PACKED.length)))
    return { name: file.slice(0, -PACKED.length), entry: file, modified };
  if (!stats.isDirectory() || !isLambdaName(file)) return undefined;
  const entry = ENTRY_FILES.find(
    (name) => statSync(join(path, name), { throwIfNoEntry: false })?.isFile() === true,
  );
  return { name: file, entry, modified };
};

const filesIn = (registry: string): string[] => {
  try {
    return readdirSync(registry).sort();
  } catch (error) {
    throw adminError("OL_ADMIN_FILE", `cannot read the registry ${registry}: ${systemReason(error)}`, {
      cause: error,
    });
  }
};

const listDirectory = async (args: Arguments, { output }: Context, paths: ClusterPaths): Promise<void> => {
  const registry = await registryDirectory(paths);
  const listed = new Map<string, Listed>();
  // A directory sorts before the bundle of the same name.
  for (const file of filesIn(registry)) {
    const lambda = describe(registry, file);
    if (lambda !== undefined && !listed.has(lambda.name)) listed.set(lambda.name, lambda);
    else if (lambda !== undefined)
      output.message(`${file} in the registry is not used, since there is a directory ${lambda.name}`);
    else if (!file.startsWith("."))
      output.message(
        `${shown(file)} in the registry is no lambda: lambdas are directories with a plain name, or NAME.tar.gz`,
      );
  }
  if (args.flag("json")) output.json([...listed.values()]);
  else
    for (const line of table(
      [...listed.values()].map(({ name, entry, modified }) => [name, entry ?? "-", modified]),
    ))
      output.result(line);
  if (listed.size === 0) output.message(`no lambdas in ${registry}; a directory with f.py in it is one`);
};

const short = (digest: string): string => `sha256:${digest.slice(0, DIGITS)}`;
const kilobytes = (bytes: number): string => `${(bytes / 1024).toFixed(1)}KB`;

const tagsOf = ({ tags, unreadable = [] }: ListedLambda): string =>
  [
    ...tags.map(({ tag, digest }) => `${escapeControls(tag)}=${short(digest)}`),
    ...unreadable.map((tag) => `${escapeControls(tag)}=unreadable`),
  ].join(" ") || "-";

const lambdaRow = (lambda: ListedLambda): string[] => [
  lambda.name,
  lambda.bare === undefined ? tagsOf(lambda) : escapeControls(lambda.bare),
  `${lambda.versions} version${lambda.versions === 1 ? "" : "s"}`,
  kilobytes(lambda.bytes),
];

const versionRow = ({ digest, size, time, tags, signature, missing }: Version): string[] => [
  short(digest),
  escapeControls(time),
  kilobytes(size),
  signature === undefined ? "not signed" : "signed",
  missing ? "its bundle is missing" : tags.map(escapeControls).join(" "),
];

const listStore = async (
  args: Arguments,
  { output, signal }: Context,
  paths: ClusterPaths,
  client: RegistryClient,
): Promise<void> => {
  const lambdas = await withProgress(
    output,
    "asking the registry",
    withAdvice(paths, client, client.list(signal)),
  );
  if (args.flag("json")) output.json(lambdas);
  else for (const line of table(lambdas.map(lambdaRow))) output.result(line);
  if (lambdas.length === 0)
    output.message(`no lambdas in the registry at ${client.address}; put some in with: npx ol-admin upload`);
};

const listVersions = async (
  name: string,
  args: Arguments,
  context: Context,
  paths: ClusterPaths,
): Promise<void> => {
  const { output, signal } = context;
  await using client = await connectStore("read", args, context, paths);
  const work = withAdvice(paths, client, client.versions(name, signal));
  const versions = await withProgress(output, "asking the registry", work);
  if (args.flag("json")) output.json(versions);
  else for (const line of table(versions.map(versionRow))) output.result(line);
};

export const listCommand: Command = {
  name: "list",
  about: "list the lambdas in the cluster's registry, or the versions of one",
  options: {
    cluster: CLUSTER_OPTION,
    ...REGISTRY_OPTIONS,
    versions: { kind: "text", value: "NAME", about: "list this lambda's versions, newest first" },
    json: JSON_OPTION,
  },
  async run(args, context) {
    const named = args.text("versions");
    const name = named === undefined ? undefined : checkLambdaName(named);
    const { paths } = await openCluster(args, context);
    if (name !== undefined) {
      await listVersions(name, args, context, paths);
      return 0;
    }
    const client = await connectRegistry("read", args, context, paths);
    await using _client = client;
    await (client === undefined
      ? listDirectory(args, context, paths)
      : listStore(args, context, paths, client));
    return 0;
  },
};
