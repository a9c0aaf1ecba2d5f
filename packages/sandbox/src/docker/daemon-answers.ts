import type { ContainerLimits, DaemonInfo } from "./daemon.ts";

type Fields = Readonly<Record<string, unknown>>;

/** From what a daemon answers to `GET /info` and `GET /version`. */
export const infoOf = (info: Fields, version: Fields): DaemonInfo => {
  const components = (version["Components"] ?? []) as readonly { readonly Name?: string }[];
  const podman = components.some(({ Name }) => Name?.startsWith("Podman") === true);
  const options = (info["SecurityOptions"] ?? []) as readonly string[];
  const has = (name: string): boolean =>
    options.some((option) => option === `name=${name}` || option.startsWith(`name=${name},`));
  const driver = info["CgroupDriver"];
  return {
    product: `${podman ? "Podman" : "Docker"} ${String(version["Version"])}`,
    podman,
    cgroups:
      driver === "none" || driver === "" ? "none" : info["CgroupVersion"] === "2" ? "cgroup-v2" : "cgroup-v1",
    memoryLimit: info["MemoryLimit"] === true,
    swapLimit: info["SwapLimit"] === true,
    pidsLimit: info["PidsLimit"] === true,
    cpuLimit: info["CpuCfsQuota"] === true,
    rootless: has("rootless"),
    remapsIds: has("userns"),
    seccomp: has("seccomp"),
    runtimes: Object.keys(info["Runtimes"] ?? {}),
  };
};

/** Output of a container without a terminal comes in frames of eight bytes and text. */
export const framesText = (log: Buffer): string => {
  const parts: string[] = [];
  for (let at = 0; at + 8 <= log.length;) {
    const size = log.readUInt32BE(at + 4);
    parts.push(log.toString("utf8", at + 8, at + 8 + size));
    at += 8 + size;
  }
  return parts.join("");
};

/** Those limits in the words of the OCI. */
export const resourcesOf = ({
  Memory,
  MemorySwap,
  PidsLimit,
  CpuPeriod,
  CpuQuota,
}: ContainerLimits): object => ({
  ...(Memory !== undefined && { memory: { limit: Memory, swap: MemorySwap } }),
  ...(PidsLimit !== undefined && { pids: { limit: PidsLimit } }),
  ...(CpuQuota !== undefined && { cpu: { quota: CpuQuota, period: CpuPeriod } }),
});
