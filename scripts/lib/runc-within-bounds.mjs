#!/usr/bin/env node
// An OCI runtime for machines whose root lacks capabilities, as in some sandboxes and containers: runc, asked for none that are not
// there. It refuses privileged containers otherwise. For dockerd's --add-runtime.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** In the order of their numbers in linux/capability.h. */
const CAPABILITIES =
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
    .split(" ")
    .map((name) => `CAP_${name}`);

const bounds = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/mu.exec(readFileSync("/proc/self/status", "utf8"))[1]}`);
const there = new Set(CAPABILITIES.filter((_, number) => (bounds >> BigInt(number)) & 1n));

const args = process.argv.slice(2);
if (args.includes("create")) {
  const file = join(args[args.indexOf("--bundle") + 1], "config.json");
  const config = JSON.parse(readFileSync(file, "utf8"));
  for (const [set, names] of Object.entries(config.process.capabilities ?? {}))
    config.process.capabilities[set] = names.filter((name) => there.has(name));
  writeFileSync(file, JSON.stringify(config));
}
try {
  execFileSync("runc", args, { stdio: "inherit" });
} catch (error) {
  process.exitCode = error.status ?? 1;
}
