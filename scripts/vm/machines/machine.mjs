import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** An emulated machine boots, and starts a worker, in a minute; where others want the processors too, in many. */
const READY_MS = 1_200_000;

/** A guest with one worker, whose disk outlives it. */
export class Machine {
  #options;
  #child;
  #said = [];

  /** `tap`, `address`, `disk`, and the worker's `configuration`. */
  constructor(options) {
    this.#options = options;
  }

  get address() {
    return this.#options.address;
  }

  /** The last that it said. */
  get lastWords() {
    return this.#said.slice(-20).join("\n");
  }

  /** Boots it; settles when its worker is ready. */
  async boot() {
    const { tap, address, disk, configuration } = this.#options;
    const options = [
      `--nic=${tap},${address}/24`,
      `--disk=${disk}`,
      "--cpus=1",
      "--memory=1536",
      "--timeout=7200",
    ];
    const command = ["scripts/vm/machine.sh", JSON.stringify(configuration)];
    const child = spawn("scripts/vm.sh", [...options, "--", ...command], {
      stdio: ["ignore", "pipe", "pipe"],
      // A session of its own, to which the kernel gives a share of the processors like any other's.
      detached: true,
    });
    this.#child = child;
    await new Promise((resolve, reject) => {
      const late = setTimeout(
        () => reject(new Error(`${address} is not ready in time: ${this.lastWords}`)),
        READY_MS,
      );
      for (const stream of [child.stdout, child.stderr])
        createInterface({ input: stream }).on("line", (line) => {
          this.#said.push(line);
          if (line.includes('"message":"ready"')) resolve(clearTimeout(late));
        });
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`${address} ended with ${code}: ${this.lastWords}`)));
    });
  }

  /** Has it killed as a power cut would: vm.sh sends its qemu SIGKILL. */
  async cut() {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  }
}
