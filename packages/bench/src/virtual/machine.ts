import type { Costs } from "./costs.ts";
import { SharedCpu } from "./shared-cpu.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** A machine in virtual time: everything on it shares its cores. */
export class Machine {
  readonly time: VirtualTime;
  readonly costs: Costs;
  readonly cpu: SharedCpu;

  /** `cores` may be Infinity: then nothing slows anything else. */
  constructor(time: VirtualTime, cores: number, costs: Costs) {
    this.time = time;
    this.costs = costs;
    this.cpu = new SharedCpu(time, { cores, efficiency: costs.efficiency });
  }
}
