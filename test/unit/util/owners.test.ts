/** Who has a buffer, and when its memory goes. */
import { expect, test } from "vitest";
import { freeBytes, Owners } from "../../../src/util/owners.ts";

const bytes = () => Uint8Array.from({ length: 100 }, (_, i) => i);

test("memory goes when the last of several is done, whichever view each has", () => {
  const owners = new Owners();
  const whole = bytes();
  const [head, tail] = [whole.subarray(0, 40), whole.subarray(40)];
  owners.add(whole);
  owners.add(whole);
  owners.done(tail);
  expect([head[39], tail[0]]).toEqual([39, 40]);
  owners.done(head);
  expect([whole.length, head.length, tail.length]).toEqual([0, 0, 0]);
});

test("who never says done keeps it, and who had nothing takes nothing away", () => {
  const owners = new Owners();
  const [kept, foreign] = [bytes(), bytes()];
  owners.add(kept);
  owners.add(kept);
  owners.done(kept);
  owners.done(foreign);
  expect([kept.length, foreign.length]).toEqual([100, 100]);
});

test("what is gone can be given back again, and nothing else goes with it", () => {
  const [first, second] = [bytes(), bytes()];
  freeBytes(first);
  freeBytes(first);
  expect([first.length, second.length]).toEqual([0, 100]);
});
