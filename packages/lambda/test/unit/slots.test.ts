import { expect, it } from "vitest";

import { Slots } from "../../src/slots.ts";

it("gives free slots to those who wait, in turn, one each", () => {
  const slots = new Slots(1);
  const served: string[] = [];
  const waiter = (name: string) => {
    const self = {
      wantsSlot: true,
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
  slots.wait({ wantsSlot: false, slotFree: () => undefined });
  slots.wait({
    wantsSlot: true,
    slotFree: () => {
      slots.take();
      served.push("second");
    },
  });
  slots.release();
  expect(served).toEqual(["second"]);
});

it("asks nobody twice about one slot, and counts nobody as wanting it who does not", () => {
  const slots = new Slots(2);
  const asked: string[] = [];
  const waiter = (name: string) => {
    const self = {
      wantsSlot: name === "needs",
      slotFree: () => {
        asked.push(name);
        // Takes nothing, and stands in line again; the bound ends what would be a circle.
        if (asked.length < 100) slots.wait(self);
      },
    };
    slots.wait(self);
    return self;
  };
  const shares = waiter("shares");
  expect(slots.wantedBeside(shares)).toBe(false);
  waiter("shares too");
  expect(slots.wantedBeside(shares)).toBe(false);
  const needs = waiter("needs");
  expect([slots.wantedBeside(shares), slots.wantedBeside(needs)]).toEqual([true, false]);
  slots.take();
  slots.take();
  slots.release();
  expect(asked).toEqual(["shares", "shares too", "needs"]);
});
