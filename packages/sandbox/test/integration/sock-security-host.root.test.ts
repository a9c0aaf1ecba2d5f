import { chmod, copyFile, readFile } from "node:fs/promises";
import path from "node:path";

import { describe, expect, it } from "vitest";

import { Host } from "./security/host.ts";

const REFUSED = { succeeded: false, detail: expect.anything() };
const DONE = { succeeded: true, detail: expect.anything() };

describe("what only root can put in a lambda's way", () => {
  it("a setuid program of root's in its code does not run as root", async () => {
    await using host = await Host.open("rootless");
    const program = path.join(host.directory, "code", "probes", "setuid-sleep");
    await copyFile("/usr/bin/sleep", program);
    await chmod(program, 0o4755);
    await using engine = await host.engine();
    const inside = await engine.probe("none", { probe: "setuid-program", path: "/handler/setuid-sleep" });
    expect(inside).toEqual(REFUSED);
    expect(await host.probeOutside({ probe: "setuid-program", path: program }, "user")).toEqual(DONE);
  });

  it("a setuid program of root's in its code does not run as root with a worker run as root", async () => {
    await using host = await Host.open("root");
    const program = path.join(host.directory, "code", "probes", "setuid-sleep");
    await copyFile("/usr/bin/sleep", program);
    await chmod(program, 0o4755);
    await using engine = await host.engine();
    const inside = await engine.probe("none", { probe: "setuid-program", path: "/handler/setuid-sleep" });
    expect(inside).toEqual(REFUSED);
  });

  it("mounts shared by the host, as systemd has them, are not shared with sandboxes", async () => {
    await using host = await Host.open("root", ["unshare", "--mount", "--propagation", "shared"]);
    await using engine = await host.engine();
    const paths = ["/proc/self/mountinfo"];
    expect(await readFile(`/proc/${engine.workerPid}/mountinfo`, "utf8")).toContain(" shared:");
    expect(await engine.probe("none", { probe: "text-in-files", text: " shared:", paths })).toEqual(REFUSED);
    expect(await engine.probe("none", { probe: "text-in-files", text: " master:", paths })).toEqual(REFUSED);
    expect(await engine.probe("none", { probe: "text-in-files", text: " /handler ", paths })).toEqual(DONE);
  });
});
