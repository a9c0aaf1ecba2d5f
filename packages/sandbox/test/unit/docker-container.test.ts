import { describe, expect, it } from "vitest";

import { memoryFileIn } from "../../src/docker/cgroup-memory.ts";
import {
  type ContainerFrame,
  type ContainerWish,
  containerBody,
  networkMode,
} from "../../src/docker/container-body.ts";
import type { DaemonInfo } from "../../src/docker/daemon.ts";
import { enforcementOf } from "../../src/docker/enforcement.ts";
import { findDaemon } from "../../src/docker/find-daemon.ts";
import { Gate } from "../../src/docker/gate.ts";

const INFO: DaemonInfo = {
  product: "Docker 1",
  podman: false,
  cgroups: "cgroup-v2",
  memoryLimit: true,
  swapLimit: true,
  pidsLimit: true,
  cpuLimit: true,
  rootless: false,
  remapsIds: false,
  seccomp: true,
  runtimes: ["runc"],
};
const FRAME: ContainerFrame = {
  info: INFO,
  image: "image",
  python: "python3",
  runtime: undefined,
  network: "host",
  runtimeDir: "/work/run/runtime",
  packagesDir: "/packages",
  labels: { a: "b" },
};
const WISH: ContainerWish = {
  program: "main",
  network: "none",
  limits: { memoryMb: 50, swappiness: 0, procs: 10, cpuPercent: 150, logMb: 1, scratchMb: 10 },
  scratch: "/work/handlers/x/1",
  code: "/work/code/x",
  socket: "/work/run/guests/1",
  uid: 5_000,
  labels: {},
};

const hostConfig = (info: Partial<DaemonInfo> = {}, wish: Partial<ContainerWish> = {}) =>
  containerBody({ ...FRAME, info: { ...INFO, ...info } }, { ...WISH, ...wish }).HostConfig;

describe("a container", () => {
  it("is of its own user, without capabilities and new privileges, on a root that is read-only", () => {
    const body = containerBody(FRAME, WISH);
    expect(body.User).toBe("5000:5000");
    expect(body.HostConfig).toMatchObject({
      ReadonlyRootfs: true,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges"],
      NetworkMode: "none",
      IpcMode: "private",
    });
    // Secrets of a lambda are told to its process alone: `docker inspect` shows what is here.
    expect(body.Env.map((each) => each.split("=")[0])).toEqual(["PATH", "LANG", "HOME"]);
  });

  it("may write to its scratch and to the engine's socket, and to nothing else of the machine", () => {
    const mounts = hostConfig()["Mounts"] as { Target: string; ReadOnly: boolean }[];
    expect(mounts.filter(({ ReadOnly }) => !ReadOnly).map(({ Target }) => Target)).toEqual([
      "/ol/socket",
      "/host",
    ]);
    expect(mounts.map(({ Target }) => Target).sort()).toEqual([
      "/handler",
      "/host",
      "/ol/runtime",
      "/ol/socket",
      "/packages",
    ]);
  });

  it("that sandboxes share gets the directory of their sockets, which it cannot change, and room for many in memory", () => {
    const shared = { program: "shared", socket: "/work/run/guests/.1", filesMb: 1_600 } as const;
    const mounts = hostConfig({}, shared)["Mounts"] as {
      Source: string;
      Target: string;
      ReadOnly: boolean;
    }[];
    expect(mounts.filter(({ ReadOnly }) => !ReadOnly).map(({ Target }) => Target)).toEqual(["/host"]);
    expect(mounts.find(({ Target }) => Target === "/ol/run")?.Source).toBe("/work/run/guests/.1");
    expect(hostConfig({}, shared)).toMatchObject({ Memory: 50 << 20, ShmSize: 1_600 << 20 });
    expect(containerBody(FRAME, { ...WISH, ...shared }).Cmd.at(-1)).toContain("ol_guest.shared import main");
  });

  it("has the limits that the daemon can set, and no others", () => {
    expect(hostConfig()).toMatchObject({
      Memory: 50 << 20,
      MemorySwap: 50 << 20,
      PidsLimit: 10,
      CpuPeriod: 100_000,
      CpuQuota: 150_000,
    });
    const swapping = { limits: { ...WISH.limits, swappiness: 60 } };
    expect(hostConfig({ cgroups: "cgroup-v1" }, swapping)).toMatchObject({
      MemorySwap: -1,
      MemorySwappiness: 60,
    });
    expect(hostConfig({}, swapping)).not.toHaveProperty("MemorySwappiness");
    expect(hostConfig({ cgroups: "none" })).not.toHaveProperty("Memory");
    expect(hostConfig({ pidsLimit: false })).not.toHaveProperty("PidsLimit");
  });

  it("has the ids of its directories where the daemon would give it others", () => {
    expect(hostConfig({ remapsIds: true })).toMatchObject({ UsernsMode: "host" });
    expect(containerBody({ ...FRAME, info: { ...INFO, rootless: true } }, WISH).User).toBe("0:0");
  });

  it("of network outbound there is none, and that of host is the one that is configured", () => {
    expect(networkMode("none", "bridge")).toBe("none");
    expect(networkMode("host", "bridge")).toBe("bridge");
    expect(() => networkMode("outbound", "bridge")).toThrow(/Network outbound cannot be had/u);
  });
});

it("a daemon that is elsewhere is refused in one line, with the reason", async () => {
  for (const place of [{ host: "ssh://h" }, { environment: { DOCKER_HOST: "ssh://h" } }])
    await expect(findDaemon(place)).rejects.toMatchObject({
      code: "OL_SANDBOX_BAD_OPTIONS",
      message: expect.stringMatching(
        / is "ssh:[^\n]* containers get directories of this machine$/u,
      ) as string,
    });
});

describe("a container's memory", () => {
  it.each([
    ["0::/system.slice/docker-abc.scope\n", "/sys/fs/cgroup/system.slice/docker-abc.scope/memory.current"],
    [
      "5:cpu:/docker/abc\n3:memory:/docker/abc\n0::/\n",
      "/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes",
    ],
    ["3:memory:/somebody/else\n0::/\n", undefined],
  ])("is told by its control group: %j", (text, file) => {
    expect(memoryFileIn(text, "abc")).toBe(file);
  });
});

describe("what is in force", () => {
  it("is what the daemon and the image say, and what is missing has a sentence", () => {
    const report = { python: "3.12.1", landlock: true, seccomp: true };
    const whole = enforcementOf(INFO, report, ["before"]);
    expect(whole).toMatchObject({
      memory: "cgroup-v2",
      procs: "cgroup-v2",
      pause: "cgroup-v2",
      notes: ["before"],
    });
    const poor = enforcementOf(
      { ...INFO, memoryLimit: false, rootless: true },
      { ...report, landlock: false, seccomp: false },
      [],
    );
    expect(poor.memory).toBe("none");
    expect(poor.notes.map((note) => note.split(" ").slice(0, 3).join(" "))).toEqual([
      "Docker 1 limits",
      "the daemon filters",
      "sandboxes with network",
      "the daemon is",
    ]);
  });
});

describe("the gate", () => {
  it("lets so many through at once, the others in their order, also after a failure", async () => {
    const gate = new Gate(2);
    const begun: number[] = [];
    const ends: (() => void)[] = [];
    const work = (number: number) =>
      gate.through(async () => {
        begun.push(number);
        await new Promise<void>((resolve) => ends.push(resolve));
        if (number === 1) throw new Error("failed");
      });
    const all = [1, 2, 3, 4].map(work);
    const settled = Promise.allSettled(all);
    await new Promise(setImmediate);
    expect(begun).toEqual([1, 2]);
    ends[0]?.();
    await new Promise(setImmediate);
    expect(begun).toEqual([1, 2, 3]);
    for (const at of [1, 2]) ends[at]?.();
    await new Promise(setImmediate);
    ends[3]?.();
    expect((await settled).map(({ status }) => status)).toEqual([
      "rejected",
      "fulfilled",
      "fulfilled",
      "fulfilled",
    ]);
  });
});
