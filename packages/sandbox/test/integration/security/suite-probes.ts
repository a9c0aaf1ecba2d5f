import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { NetworkClass } from "@ol/common";

import type { Defence } from "../../../src/index.ts";
import { hasLandlockScopes, layBait } from "./bait.ts";
import { type Engine, Host, type Mode, type Outcome, runsAsRoot } from "./host.ts";
import { type Bait, type Control, FAMILIES, NETWORK_FAMILY, type Probe, eventOf } from "./probes.ts";

const openIn = (probe: Probe): readonly NetworkClass[] => [
  ...(probe.open ?? []),
  ...(hasScopes ? [] : (probe.withoutScopes ?? [])),
];

const hasScopes = hasLandlockScopes();

/**
 * Every line of probes.ts in these network classes, and its control; for the class `outbound` alone only controls
 * that have to do with the network: the others are the same. `prefix` gives what has the host's commands run elsewhere.
 */
export const describeProbes = (
  mode: Mode,
  networks: readonly NetworkClass[] = ["none", "host"],
  prefix: () => readonly string[] = () => [],
): void => {
  let host: Host;
  let bait: Bait;
  let removeBait: () => Promise<void>;
  const engines = new Map<string, Promise<Engine>>();
  const engineWithout = (weaken: readonly Defence[]): Promise<Engine> => {
    const key = weaken.join();
    const engine = engines.get(key) ?? host.engine(weaken);
    engines.set(key, engine);
    return engine;
  };

  beforeAll(async () => {
    host = await Host.open(mode, prefix());
    const laid = await layBait(host);
    bait = laid.bait;
    removeBait = laid.remove;
  });

  afterAll(async () => {
    await removeBait();
    await host[Symbol.asyncDispose]();
  });

  const tryIt = async (probe: Probe, network: NetworkClass): Promise<Outcome> =>
    (await engineWithout([])).probe(network, eventOf(probe.event, bait));

  const tryControl = async (probe: Probe, control: Control): Promise<Outcome> => {
    if ("none" in control) throw new Error("there is no control");
    const event = eventOf(control.event ?? probe.event, bait);
    if ("outside" in control) return host.probeOutside(event, control.outside);
    return (await engineWithout(control.weaken)).probe(control.network ?? "none", event);
  };

  describe.each(FAMILIES)("$name", ({ name, probes }) => {
    for (const probe of probes) {
      for (const network of networks) {
        const open = openIn(probe).includes(network);
        it(`a lambda ${open ? "can, as documented," : "cannot"} ${probe.title} (network ${network})`, async () => {
          const outcome = await tryIt(probe, network);
          // A probe that broke would have one property more.
          expect(outcome).toEqual({ succeeded: open, detail: expect.anything() });
        });
      }
      if (networks.includes("none") || name === NETWORK_FAMILY) registerControl(probe);
    }
  });

  function registerControl(probe: Probe): void {
    const { control } = probe;
    // Outside as root needs to be root.
    if ("none" in control || ("outside" in control && control.outside === "root" && !runsAsRoot())) return;
    const where = "outside" in control ? `outside, as ${control.outside}` : describeWeakened(control);
    it(`the probe itself can ${probe.title} (${where})`, async () => {
      const outcome = await tryControl(probe, control);
      // A kernel built without the thing refuses it to everybody.
      const absent = /^(ENOSYS|EAFNOSUPPORT|EPROTONOSUPPORT)/.test(String(outcome.detail));
      expect(outcome).toEqual({ succeeded: !absent, detail: expect.anything() });
    });
  }
};

const describeWeakened = ({ weaken, network }: { weaken: readonly Defence[]; network?: string }): string => {
  const without = weaken.length === 0 ? "in a whole sandbox" : `without ${weaken.join(", ")}`;
  return `${without}, network ${network ?? "none"}`;
};
