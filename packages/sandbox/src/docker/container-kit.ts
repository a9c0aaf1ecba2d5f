import type { FileHandle } from "node:fs/promises";

import type { Logger } from "@ol/common";

import type { SandboxSpec } from "../engine.ts";
import type { BrokerClient } from "../sock/broker-client.ts";
import type { ContainerFrame } from "./container-body.ts";
import type { ContainerDaemon } from "./daemon.ts";
import type { Orphans } from "./orphans.ts";

/** What all containers of an engine share. */
export interface ContainerKit {
  readonly daemon: ContainerDaemon;
  readonly porter: BrokerClient;
  readonly frame: ContainerFrame;
  /** The directory in which guests are awaited, open. */
  readonly meeting: FileHandle;
  readonly meetingDir: string;
  readonly orphans: Orphans;
  readonly namePrefix: string;
  readonly seccomp: boolean;
  readonly logger: Logger;
}

/** What a container is to be. */
export interface ContainerOrder extends Pick<SandboxSpec, "name" | "network" | "limits"> {
  /** Absent: it is started in advance, for nobody yet. */
  readonly code?: string;
  /** Sandboxes are forked in it, each of which has a socket; `filesMb` as in ContainerWish. */
  readonly shared?: { readonly filesMb: number };
}
