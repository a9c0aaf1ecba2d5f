import { BALANCER_SCHEMA } from "./balancer-schema.ts";
import { variableOf } from "./environment.ts";
import { LATER_KEYS } from "./later.ts";
import { REGISTRY_SCHEMA } from "./registry-schema.ts";
import { type KeySchema, WORKER_SCHEMA } from "./schema.ts";

/** One key of the configuration, as `ol-admin config` and the documentation show it. */
export interface KeyDescription {
  /** `limits.mem_mb` */
  readonly key: string;
  /** What a value must be, in words. */
  readonly value: string;
  /** The default in words or as JSON; undefined for a group of keys. */
  readonly default?: string;
  readonly description: string;
  /** The environment variable that sets it. */
  readonly variable: string;
}

const describe = (schema: KeySchema, parents: readonly string[]): KeyDescription[] =>
  Object.entries(schema.properties ?? {}).flatMap(([name, child]) => {
    const key = [...parents, name].join(".");
    const inWords =
      child.defaultText ?? (child.default === undefined ? undefined : `\`${JSON.stringify(child.default)}\``);
    const here: KeyDescription = {
      key,
      value: child.properties === undefined ? child.expects : "an object",
      ...(inWords === undefined ? {} : { default: inWords }),
      description: child.description,
      variable: variableOf(key),
    };
    return [here, ...describe(child, [...parents, name])];
  });

/** Every key of a configuration, in the order of the schema. */
export const describeKeys = (schema: KeySchema = WORKER_SCHEMA): readonly KeyDescription[] =>
  describe(schema, []);

const table = (schema: KeySchema): string[] => [
  "| key | value | default | what it does | variable |",
  "|---|---|---|---|---|",
  ...describeKeys(schema).map(
    (key) =>
      `| \`${key.key}\` | ${cell(key.value)} | ${cell(key.default ?? "")} | ${cell(key.description)} | \`${key.variable}\` |`,
  ),
];

const cell = (text: string): string => text.replaceAll("|", "\\|");

/** The text of docs/configuration.md. */
export const renderConfigurationDocs = (): string =>
  [
    "# Configuration",
    "",
    "<!-- Generated from packages/config/src/schema.ts by `pnpm --filter @ol/config run docs`; do not edit. -->",
    "",
    "`config/template.json` in a cluster directory configures its workers. `ol-admin workers` makes a",
    "`config/worker-N.json` from it for each worker, so a change takes effect when workers are started again. Every",
    "key is optional. `ol-admin setconf '{\"worker_slots\": 8}'` changes the template: objects are merged, `null`",
    "removes a key, and if anything is wrong nothing is written. `ol-admin config` prints this list.",
    "",
    "Each key can also be set by an environment variable of the worker, which wins over the file: numbers and",
    "booleans as they are, lists separated by commas or as JSON, objects as JSON.",
    "",
    ...table(WORKER_SCHEMA),
    "",
    "A lambda's own `ol.yaml` can set `limits` and `network` for itself.",
    "",
    "## Not available in this version",
    "",
    "These keys are refused, with a message that says so:",
    "",
    LATER_KEYS.map((key) => `\`${key}\``).join(", ") + ".",
    "",
    "## The registry",
    "",
    "`ol-registry --config FILE` reads a file of its own, in a cluster `config/registry.json`. It has secret keys in it, so",
    "only its owner should be able to read it. The variables of the environment win over it here too.",
    "",
    ...table(REGISTRY_SCHEMA),
    "",
    "## The load balancer",
    "",
    "`ol-balancer --config FILE` reads a file of its own, in a cluster `config/load_balancer.json`. Keys may also be spelled as",
    "`MaxConn` for `max_conn`. The variables of the environment win over it here too.",
    "",
    ...table(BALANCER_SCHEMA),
    "",
  ].join("\n");
