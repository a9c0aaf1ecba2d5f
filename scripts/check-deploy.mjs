// What deploy/ says and the programs know must agree, without a Docker or Kubernetes to ask: every OL_ variable is one of that
// program's and has a value that it takes, every port is the one that its image exposes, and every name leads somewhere.
import { readdir } from "node:fs/promises";
import { join } from "node:path";

import {
  BALANCER_SCHEMA,
  REGISTRY_SCHEMA,
  valuesFromEnvironment,
  variableOf,
  WORKER_SCHEMA,
} from "@ol/config";
import { parse, parseAllDocuments } from "yaml";

import { isMain, readIfExists, report, repositoryRoot } from "./lib/workspace.mjs";

const SCHEMAS = { registry: REGISTRY_SCHEMA, worker: WORKER_SCHEMA, balancer: BALANCER_SCHEMA };
const WORKLOADS = { DaemonSet: "apps/v1", Deployment: "apps/v1", StatefulSet: "apps/v1" };
const KINDS = { ...WORKLOADS, Service: "v1" };
/** Stands for what whoever deploys fills in. */
const SAMPLE = "sample-of-a-secret-0123";
const SAMPLE_KEYS = `[{"access_key": "admin", "secret_key": "${SAMPLE}", "role": "admin"}]`;

const variablesOf = (schema, parents = []) =>
  Object.entries(schema.properties ?? {}).flatMap(([key, child]) => {
    const path = [...parents, key];
    return [variableOf(path.join(".")), ...variablesOf(child, path)];
  });

const checkEnvironment = (where, program, environment) => {
  const schema = SCHEMAS[program];
  if (schema === undefined) return [`${where}: there is no program ${program}`];
  const known = new Set(variablesOf(schema));
  const unknown = Object.keys(environment).filter((name) => !known.has(name));
  const problems = unknown.map((name) => `${where}: ${name} is no variable of ol-${program}`);
  try {
    valuesFromEnvironment(environment, schema);
  } catch (error) {
    problems.push(`${where}: ${error.message}`);
  }
  return problems;
};

const exposedBy = async (root, program) => {
  const text = (await readIfExists(join(root, `apps/${program}/Dockerfile`))) ?? "";
  return Number(/^EXPOSE (\d+)$/m.exec(text)?.[1]);
};

const checkComposeService = async (root, name, service, { volumes = {}, networks = {}, services }) => {
  const where = `deploy/compose.yaml: ${name}`;
  const filled = Object.entries(service.environment ?? {}).map(([key, value]) => [
    key,
    String(value).replaceAll(/\$\{[A-Z_]+:\?[^}]*\}/g, SAMPLE),
  ]);
  const problems = checkEnvironment(where, name, Object.fromEntries(filled));
  const { dockerfile } = service.build ?? {};
  if (dockerfile === undefined || (await readIfExists(join(root, dockerfile))) === undefined)
    problems.push(`${where}: there is no ${dockerfile}`);
  const exposed = await exposedBy(root, name);
  for (const port of service.ports ?? [])
    if (Number(String(port).split(":").at(-1)) !== exposed)
      problems.push(`${where}: port ${port} is not the image's, ${exposed}`);
  const named = [
    ...(service.volumes ?? []).map((volume) => [volume.split(":")[0], volumes]),
    ...(service.networks ?? []).map((network) => [network, networks]),
    ...(service.depends_on ?? []).map((other) => [other, services]),
  ];
  for (const [one, table] of named)
    if (!Object.hasOwn(table, one)) problems.push(`${where}: there is no ${one}`);
  return problems;
};

/** `text` of compose.yaml → problems, one sentence each. */
export const checkCompose = async (text, root) => {
  const file = parse(text);
  const all = Object.entries(file.services ?? {}).map(([name, service]) =>
    checkComposeService(root, name, service, file),
  );
  return (await Promise.all(all)).flat();
};

const environmentOf = (container) =>
  Object.fromEntries(
    (container.env ?? []).map(({ name, value }) => [
      name,
      value ?? (name === "OL_REGISTRY_KEYS" ? SAMPLE_KEYS : SAMPLE),
    ]),
  );

const isPartOf = (part, whole) =>
  part !== undefined && Object.entries(part).every(([key, value]) => whole?.[key] === value);

const checkWorkload = async (where, { spec }, root) => {
  const problems = [];
  const { metadata, spec: pod } = spec.template;
  if (!isPartOf(spec.selector?.matchLabels, metadata?.labels))
    problems.push(`${where}: its selector does not select its own pods`);
  const volumes = [
    ...(pod.volumes ?? []),
    ...(spec.volumeClaimTemplates ?? []).map((claim) => claim.metadata),
  ];
  for (const container of pod.containers) {
    problems.push(...checkEnvironment(where, container.name, environmentOf(container)));
    if (!container.image.startsWith(`ol-${container.name}:`)) problems.push(`${where}: another image`);
    const exposed = await exposedBy(root, container.name);
    for (const port of [
      ...(container.ports ?? []).map((one) => one.containerPort),
      container.readinessProbe?.httpGet?.port,
    ])
      if (port !== exposed) problems.push(`${where}: port ${port} is not the image's, ${exposed}`);
    for (const { name } of container.volumeMounts ?? [])
      if (!volumes.some((volume) => volume.name === name))
        problems.push(`${where}: there is no volume ${name}`);
  }
  return problems;
};

const checkService = (where, { spec }, workloads) => {
  const target = workloads.find((one) => isPartOf(spec.selector, one.spec.template.metadata?.labels));
  if (target === undefined) return [`${where}: it selects nothing`];
  const open = target.spec.template.spec.containers.flatMap(({ ports = [] }) =>
    ports.map((one) => one.containerPort),
  );
  return spec.ports
    .filter(({ targetPort }) => !open.includes(targetPort))
    .map(({ targetPort }) => `${where}: nobody listens on ${targetPort}`);
};

/** `[{ file, text }]` of manifests → problems, one sentence each. */
export const checkManifests = async (files, root) => {
  const documents = files.flatMap(({ file, text }) =>
    parseAllDocuments(text).map((document) => ({ file, value: document.toJS() })),
  );
  const workloads = documents.map(({ value }) => value).filter(({ kind }) => Object.hasOwn(WORKLOADS, kind));
  const problems = [];
  for (const { file, value } of documents) {
    const where = `${file}: ${value.kind} ${value.metadata?.name}`;
    if (KINDS[value.kind] === undefined || KINDS[value.kind] !== value.apiVersion)
      problems.push(`${where}: ${value.apiVersion} has no such kind`);
    else if (value.kind === "Service") problems.push(...checkService(where, value, workloads));
    else problems.push(...(await checkWorkload(where, value, root)));
  }
  return problems;
};

const main = async () => {
  const root = repositoryRoot;
  const directory = join(root, "deploy/kubernetes");
  const names = (await readdir(directory)).filter((name) => name.endsWith(".yaml"));
  const files = await Promise.all(
    names.map(async (name) => ({
      file: `deploy/kubernetes/${name}`,
      text: await readIfExists(join(directory, name)),
    })),
  );
  const compose = await readIfExists(join(root, "deploy/compose.yaml"));
  report("deploy", [...(await checkCompose(compose, root)), ...(await checkManifests(files, root))]);
};

if (isMain(import.meta.url)) await main();
