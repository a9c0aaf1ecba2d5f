import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { COUNTING_LAMBDA } from "./ledger.mjs";

const execute = promisify(execFile);
const ADMIN_MS = 300_000;

const admin = (...words) =>
  execute(process.execPath, ["packages/admin/bin/ol-admin.js", ...words], { timeout: ADMIN_MS });

const changeJson = (file, change) =>
  writeFileSync(file, JSON.stringify(Object.assign(JSON.parse(readFileSync(file, "utf8")), change)));

/** The first machine of docs/deploy.md: a cluster's registry and load balancer, for workers elsewhere. */
export class HostCluster {
  #directory;
  #address;

  static async start(directory, address) {
    const cluster = new HostCluster(directory, address);
    await admin("new", `--cluster=${directory}`, "--registry", "--load-balancer");
    changeJson(join(directory, "config/registry.json"), { registry_url: address });
    changeJson(join(directory, "config/load_balancer.json"), { url: address });
    await admin("registry", `--cluster=${directory}`);
    await admin("load-balancer", `--cluster=${directory}`);
    return cluster;
  }

  constructor(directory, address) {
    this.#directory = directory;
    this.#address = address;
  }

  /** Where the balancer is. */
  get url() {
    return `http://${this.#address}:7079`;
  }

  /** What the configuration of a machine's workers needs. */
  configurationFor(machine) {
    const { registry_keys: keys } = this.#json("registry.json");
    const reader = keys.find(({ role }) => role === "read");
    return {
      worker_url: machine,
      worker_slots: 4,
      registry: `http://${this.#address}:9000/registry`,
      registry_access_key: reader.access_key,
      registry_secret_key: reader.secret_key,
      load_balancer: [this.url],
      token: this.#json("cluster.json").token,
    };
  }

  /** Uploads the counting lambda under each of the names. */
  async upload(names, ledger) {
    const code = join(this.#directory, "counting");
    mkdirSync(code);
    writeFileSync(join(code, "f.py"), COUNTING_LAMBDA);
    writeFileSync(join(code, "ol.yaml"), `environment:\n  LEDGER: "${ledger}"\nlimits:\n  runtime_sec: 10\n`);
    for (const name of names)
      await admin("upload", `--cluster=${this.#directory}`, `--handler=${name}`, `--file=${code}`);
  }

  async stats() {
    const response = await fetch(`${this.url}/stats`, { signal: AbortSignal.timeout(ADMIN_MS) });
    return response.json();
  }

  async stop() {
    await admin("kill", `--cluster=${this.#directory}`);
  }

  #json(name) {
    return JSON.parse(readFileSync(join(this.#directory, "config", name), "utf8"));
  }
}
