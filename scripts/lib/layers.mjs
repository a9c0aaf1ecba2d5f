// Which package may import which. A package that is not in this table is refused: adding one is a decision
// about the architecture, and this table is where it is made.
const common = ["@ol/common"];
const lambda = ["@ol/sandbox", "@ol/bundle", ...common];
const worker = ["@ol/lambda", "@ol/registry-client", "@ol/config", ...lambda];

/** Package → packages of ours that it may import. `tests` may be imported by its tests only. */
export const LAYERS = {
  "@ol/common": { imports: [] },
  "@ol/config": { imports: common },
  "@ol/bundle": { imports: common },
  "@ol/sandbox": { imports: common },
  "@ol/registry": { imports: common },
  "@ol/registry-client": { imports: common },
  "@ol/balancer": { imports: common },
  "@ol/lambda": { imports: lambda },
  "@ol/worker": { imports: worker },
  "ol-worker": { imports: ["@ol/worker", ...worker] },
  "ol-registry": { imports: ["@ol/registry", "@ol/config", ...common] },
  "ol-balancer": { imports: ["@ol/balancer", "@ol/config", ...common] },
  "ol-admin": {
    // Of @ol/lambda only what fits a tree to a trace.
    imports: ["@ol/config", "@ol/lambda", "@ol/bundle", "@ol/registry-client", ...common],
    // Started as processes, never imported: the package only has to be there.
    starts: ["ol-worker", "ol-registry", "ol-balancer"],
  },
  "ol-bench": {
    imports: ["@ol/lambda", "@ol/sandbox", "@ol/balancer", ...common],
    starts: ["ol-worker", "ol-registry", "ol-balancer", "ol-admin"],
  },
};

/** Libraries that belong to one place: everything else takes plain options and a `Logger`. */
export const RESERVED_LIBRARIES = {
  winston: ["@ol/config"],
  ajv: ["@ol/config"],
  yargs: ["ol-admin", "ol-worker", "ol-registry", "ol-balancer", "ol-bench"],
  express: ["@ol/worker", "@ol/balancer", "ol-worker", "ol-balancer"],
  minio: ["@ol/registry-client"],
  dockerode: ["@ol/sandbox", "ol-admin"],
  "tar-stream": ["@ol/bundle", "ol-admin"],
};
