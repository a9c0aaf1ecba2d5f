import { join } from "node:path";

/** Where things are in a cluster directory. */
export interface ClusterPaths {
  readonly root: string;
  readonly config: string;
  readonly template: string;
  readonly identity: string;
  readonly logs: string;
  readonly lambdaLogs: string;
  readonly workers: string;
  /** What is known of applications, and their own state: NAME/app.json, NAME/state. */
  readonly apps: string;
  workerConfig(index: number): string;
  pidFile(index: number): string;
  outFile(index: number): string;
  /** Of the registry that runs in this cluster: its keys are in it. */
  readonly registryConfig: string;
  readonly registryPid: string;
  readonly registryOut: string;
  readonly balancerConfig: string;
  readonly balancerPid: string;
  readonly balancerOut: string;
  /** The workers that run, for load balancers. */
  readonly workerList: string;
  /** Where a worker finds the one that is to have its listening sockets. */
  handOver(index: number): string;
}

export const clusterPaths = (root: string): ClusterPaths => {
  const config = join(root, "config");
  const logs = join(root, "logs");
  return {
    root,
    config,
    template: join(config, "template.json"),
    identity: join(config, "cluster.json"),
    logs,
    lambdaLogs: join(logs, "lambdas"),
    workers: join(root, "workers"),
    apps: join(root, "apps"),
    registryConfig: join(config, "registry.json"),
    registryPid: join(logs, "registry.pid"),
    registryOut: join(logs, "registry.out"),
    balancerConfig: join(config, "load_balancer.json"),
    balancerPid: join(logs, "load_balancer.pid"),
    balancerOut: join(logs, "load_balancer.out"),
    workerList: join(config, "workers.json"),
    workerConfig: (index) => join(config, `worker-${index}.json`),
    pidFile: (index) => join(logs, `worker-${index}.pid`),
    outFile: (index) => join(logs, `worker-${index}.out`),
    handOver: (index) => join(logs, `worker-${index}.handover`),
  };
};
