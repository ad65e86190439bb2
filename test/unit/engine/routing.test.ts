import { expect, test } from "vitest";
import { unpackRouting } from "../../../src/engine/routing.ts";
import { ABSENT } from "../../../src/pager/slot-table.ts";

/** A record [tokens, 3, topK] of these rows: ids, slots, routing weights. */
function record(rows: readonly (readonly [number[], number[], number[]])[], at = 0): ArrayBuffer {
  const topK = rows[0]?.[0].length ?? 0;
  const buffer = new ArrayBuffer(at + rows.length * 3 * topK * 4);
  const view = new DataView(buffer);
  let offset = at;
  for (const [ids, slots, weights] of rows) {
    for (const word of [...ids, ...slots]) {
      view.setUint32(offset, word, true);
      offset += 4;
    }
    for (const weight of weights) {
      view.setFloat32(offset, weight, true);
      offset += 4;
    }
  }
  return buffer;
}

test("tokens after one another, each ids, slots, weights", () => {
  const buffer = record([
    [
      [4, 9],
      [0, ABSENT],
      [0.75, 0.25],
    ],
    [
      [1, 0],
      [3, 2],
      [1.5, -0.5],
    ],
  ]);
  const { expertIds, slots, routingWeights } = unpackRouting(buffer, 0, 2, 2);
  expect([...expertIds]).toEqual([4, 9, 1, 0]);
  expect([...slots]).toEqual([0, ABSENT, 3, 2]);
  expect([...routingWeights]).toEqual([0.75, 0.25, 1.5, -0.5]);
});

test("from the middle of a read-back, and with fewer tokens than it holds", () => {
  const buffer = record(
    [
      [[7], [1], [1]],
      [[8], [2], [0.5]],
    ],
    24,
  );
  expect([...unpackRouting(buffer, 24, 1, 1).expertIds]).toEqual([7]);
  expect([...unpackRouting(buffer, 36, 1, 1).expertIds]).toEqual([8]);
  expect(unpackRouting(buffer, 24, 0, 1).expertIds).toHaveLength(0);
});

test("a copy: the read-back's buffer may go", () => {
  const buffer = record([[[7], [1], [1]]]);
  const routing = unpackRouting(buffer, 0, 1, 1);
  new Uint8Array(buffer).fill(0);
  expect([...routing.expertIds, ...routing.slots, ...routing.routingWeights]).toEqual([7, 1, 1]);
});

test("a read-back that is too short is refused", () => {
  expect(() => unpackRouting(new ArrayBuffer(20), 0, 1, 2)).toThrow(RangeError);
});
