import { readFileSync, readdirSync, readlinkSync } from "node:fs";

import { escapeControls } from "../text.ts";

const LISTEN_STATE = "0A";

/** Inodes of the sockets that listen on `port`, from the text of /proc/net/tcp or tcp6. */
export const listeningInodes = (table: string, port: number): string[] => {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return table.split("\n").flatMap((line) => {
    const fields = line.trim().split(/\s+/u);
    const inode = fields[9];
    return fields[1]?.endsWith(suffix) === true && fields[3] === LISTEN_STATE && inode !== undefined
      ? [inode]
      : [];
  });
};

const attempt = <T>(act: () => T, fallback: T): T => {
  try {
    return act();
  } catch {
    // Processes come and go, and other users' are closed to us.
    return fallback;
  }
};

/** "nginx (process 123)": who listens on a port, as far as this user may know. */
export const portHolder = (port: number): string | undefined => {
  const inodes = ["tcp", "tcp6"].flatMap((name) =>
    listeningInodes(
      attempt(() => readFileSync(`/proc/net/${name}`, "utf8"), ""),
      port,
    ),
  );
  const wanted = new Set(inodes.map((inode) => `socket:[${inode}]`));
  if (wanted.size === 0) return undefined;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/u.test(name))) {
    const descriptors = attempt(() => readdirSync(`/proc/${pid}/fd`), []);
    if (!descriptors.some((fd) => wanted.has(attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`), ""))))
      continue;
    const name = attempt(() => readFileSync(`/proc/${pid}/comm`, "utf8").trim(), "?");
    return `${escapeControls(name)} (process ${pid})`;
  }
  return undefined;
};
