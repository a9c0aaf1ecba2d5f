import { mkdtemp, readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import v8 from "node:v8";

import { expect, it, onTestFinished } from "vitest";

import { GuestListener } from "../../src/docker/guest-listener.ts";
import { MeetingPlace } from "../../src/docker/meeting-place.ts";

const GUESTS = 50;

it("a meeting place remembers none of the guests that have come", async () => {
  const parent = await mkdtemp(path.join(tmpdir(), "ol-meeting-"));
  onTestFinished(() => rm(parent, { recursive: true, force: true }));
  const place = await MeetingPlace.make(parent, "place");
  for (let number = 0; number < GUESTS; number += 1) {
    const listener = await place.listen(String(number));
    const guest = connect(listener.path);
    (await listener.connected).destroy();
    guest.destroy();
  }
  const waiting = await place.listen("last");
  expect(await readdir(place.directory)).toEqual(["last"]);
  // The last one that came may still be on the stack.
  expect(v8.queryObjects(GuestListener, { format: "count" })).toBeLessThanOrEqual(2);
  await place.remove();
  await expect(waiting.connected).rejects.toThrow("given up");
  expect(await readdir(parent)).toEqual([]);
});
