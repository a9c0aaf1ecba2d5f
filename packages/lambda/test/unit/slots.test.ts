import { expect, it } from "vitest";

import { Slots } from "../../src/slots.ts";

it("gives free slots to those who wait, in turn, one each", () => {
  const slots = new Slots(1);
  const served: string[] = [];
  const waiter = (name: string) => {
    const self = {
      slotFree: () => {
        slots.take();
        served.push(name);
        // Wants more: to the end of the line.
        slots.wait(self);
      },
    };
    slots.wait(self);
  };
  slots.take();
  waiter("a");
  waiter("b");
  for (let round = 0; round < 4; round += 1) slots.release();
  expect(served).toEqual(["a", "b", "a", "b"]);
  expect(slots.free).toBe(0);
});

it("passes a slot on when the one whose turn it is wants it no longer", () => {
  const slots = new Slots(1);
  const served: string[] = [];
  slots.take();
  slots.wait({ slotFree: () => undefined });
  slots.wait({
    slotFree: () => {
      slots.take();
      served.push("second");
    },
  });
  slots.release();
  expect(served).toEqual(["second"]);
});
