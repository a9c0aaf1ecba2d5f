import type { KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

import {
  checkLambdaName,
  DEFAULT_PACKED_LIMITS,
  formatReference,
  type PackedLimits,
  parseReference,
} from "@ol/bundle";
import { systemReason } from "@ol/common";
import { readJsonObject, validateTemplate } from "@ol/config";
import { LATEST, parseSigningKey, type RegistryClient, type UploadResult } from "@ol/registry-client";

import { type Arguments, usageError } from "../cli/arguments.ts";
import { CLUSTER_OPTION, type Command, type Context, JSON_OPTION } from "../cli/command.ts";
import { progressBar, withProgress } from "../cli/progress.ts";
import { type CodeBundle, makeCodeBundle, packedLimitsOf } from "../code/code-bundle.ts";
import { type Cluster, openCluster } from "../cluster/discover.ts";
import { adminError } from "../errors.ts";
import { connectRegistry, REGISTRY_OPTIONS, withAdvice } from "../registry/access.ts";
import { LocalRegistry } from "../registry/local-registry.ts";
import { shown } from "../text.ts";
import { lockFor } from "./options.ts";

const MOST_KEPT = 100;
/** What only a store has. */
const STORE_OPTIONS = ["tag", "sign", "keep"] as const;

/** What is uploaded, and how; all of it checked. */
interface Upload {
  readonly name: string;
  readonly tag: string;
  readonly createOnly: boolean;
  readonly keep: number | undefined;
  readonly signingKey: KeyObject | undefined;
}

const handlerOf = (args: Arguments): Pick<Upload, "name" | "tag"> => {
  const handler = args.text("handler");
  if (handler === undefined) throw usageError("upload needs --handler=NAME, what the lambda is to be called");
  const { name, tag, digest } = parseReference(handler);
  if (digest !== undefined)
    throw usageError("--handler names a lambda, or NAME@TAG; its digest comes of its code");
  const named = args.text("tag");
  if (named !== undefined && tag !== undefined && named !== tag)
    throw usageError(`--handler names the tag ${tag}, and --tag another one`);
  return {
    name: checkLambdaName(name),
    tag: parseReference(`${name}@${named ?? tag ?? LATEST}`).tag ?? LATEST,
  };
};

const signingKeyOf = async (args: Arguments, { cwd }: Context): Promise<KeyObject | undefined> => {
  const named = args.text("sign");
  if (named === undefined) return undefined;
  const file = resolve(cwd, named);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw usageError(`--sign: ${shown(file)} cannot be read: ${systemReason(error)}`);
  }
  return parseSigningKey(text, file);
};

const uploadOf = async (args: Arguments, context: Context): Promise<Upload> => ({
  ...handlerOf(args),
  createOnly: args.flag("create-only"),
  keep: args.wholeNumber("keep", 1, MOST_KEPT),
  signingKey: await signingKeyOf(args, context),
});

/** Puts the code into the registry that is a directory. */
const putIntoDirectory = async (
  cluster: Cluster,
  args: Arguments,
  upload: Upload,
  bundle: CodeBundle,
  context: Context,
): Promise<void> => {
  const option = STORE_OPTIONS.find((one) => args.text(one) !== undefined);
  if (option !== undefined || upload.tag !== LATEST)
    throw adminError(
      "OL_ADMIN_REGISTRY",
      `the cluster's registry is a directory, which has no versions: leave out ${option === undefined ? "the tag" : `--${option}`}, or start a registry with: npx ol-admin registry`,
    );
  await using _lock = await lockFor(cluster, "upload", context);
  await using registry = await LocalRegistry.of(cluster.paths, context.signal);
  if (upload.createOnly && (await registry.has(upload.name)))
    throw adminError(
      "OL_ADMIN_EXISTS",
      `there is a lambda ${upload.name} in ${registry.place} already; nothing was changed`,
    );
  await registry.take(upload.name, bundle.directory);
};

const send = (
  client: RegistryClient,
  { name, tag, createOnly, keep, signingKey }: Upload,
  { file, digest, packedBytes, config }: CodeBundle,
  { output, signal }: Context,
): Promise<UploadResult> => {
  const request = {
    name,
    file,
    digest,
    size: packedBytes,
    tags: [tag],
    createOnly,
    minInstances: config.minInstances ?? 0,
    ...(keep !== undefined && { keep }),
    ...(signingKey !== undefined && { signingKey }),
  };
  let sent = 0;
  const work = client.upload(request, {
    signal,
    onProgress: (sentBytes) => {
      sent = sentBytes;
    },
  });
  return withProgress(output, () => `sending ${name} ${progressBar(sent, packedBytes)}`, work);
};

/** What its workers take; of another cluster that is not known here. */
const limitsFor = async (cluster: Cluster | undefined): Promise<PackedLimits> => {
  if (cluster === undefined) return DEFAULT_PACKED_LIMITS;
  const { template } = cluster.paths;
  return packedLimitsOf(validateTemplate(await readJsonObject(template), template));
};

const upload = async (args: Arguments, context: Context): Promise<number> => {
  const { output } = context;
  const file = args.text("file");
  if (file === undefined)
    throw usageError("upload needs --file: a directory, a .tar.gz, or a git repository's address");
  const wanted = await uploadOf(args, context);
  // Without a cluster it is enough to say where the registry is.
  const needsCluster = args.text("address") === undefined || args.text("cluster") !== undefined;
  const cluster = needsCluster ? await openCluster(args, context) : undefined;
  const client = await connectRegistry("write", args, context, cluster?.paths);
  await using _client = client;
  await using bundle = await withProgress(
    output,
    "reading and checking the code",
    makeCodeBundle(file, { ...context, limits: await limitsFor(cluster) }),
  );
  const { digest, packedBytes: size } = bundle;
  if (client === undefined) {
    if (cluster !== undefined) await putIntoDirectory(cluster, args, wanted, bundle, context);
    if (args.flag("json")) output.json({ name: wanted.name, bytes: bundle.bytes });
    else output.result(wanted.name);
  } else {
    const { created, previous } = await withAdvice(
      cluster?.paths,
      client,
      send(client, wanted, bundle, context),
    );
    if (args.flag("json"))
      output.json({ name: wanted.name, tag: wanted.tag, digest, size, created, previous });
    else output.result(formatReference({ name: wanted.name, digest }));
    if (previous !== undefined)
      output.message(
        `${wanted.name}@${wanted.tag} was sha256:${previous.slice(0, 12)}; npx ol-admin rollback ${wanted.name} brings it back`,
      );
  }
  output.message(
    `${bundle.entries} ${bundle.entries === 1 ? "file" : "files and directories"}, ${(size / 1024).toFixed(1)} KB packed; workers that know older code see this one within registry_cache_ms`,
  );
  return 0;
};

export const uploadCommand: Command = {
  name: "upload",
  about: "check a lambda's code, pack it, and put it into the cluster's registry",
  options: {
    cluster: CLUSTER_OPTION,
    handler: {
      kind: "text",
      value: "NAME",
      about: "what the lambda is called; NAME@TAG for another tag than latest",
    },
    file: {
      kind: "text",
      value: "BUNDLE",
      about:
        "a directory, a .tar.gz, or a git repository: https://, ssh:// or file://, with #REF or #REF:DIRECTORY behind it",
    },
    ...REGISTRY_OPTIONS,
    tag: { kind: "text", value: "TAG", about: "what is to point at it; default latest" },
    "create-only": {
      kind: "flag",
      about: "refuse if there is a lambda of that name, or that tag of it, already",
    },
    sign: {
      kind: "text",
      value: "KEYFILE",
      about: "sign it with this ed25519 key (openssl genpkey -algorithm ed25519)",
    },
    keep: {
      kind: "text",
      value: "N",
      about: "remember this many versions, this one counted, and remove older ones",
    },
    json: { ...JSON_OPTION, about: "print what was uploaded as JSON" },
  },
  run: upload,
};
