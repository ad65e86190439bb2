/** Rotary angles of long-context models, against the definitions and against numbers of the published configuration. */
import { expect, test } from "vitest";
import { ropeAngles } from "../../../src/engine/scratch.ts";
import { rope } from "../../reference/rope.ts";

/** Angle of each pair at `pos`, in turns of less than half a circle. */
function angles(kind: Parameters<typeof ropeAngles>[0], pos: number): number[] {
  const table = ropeAngles(kind, pos, 1);
  return Array.from({ length: kind.dims / 2 }, (_, j) => Math.atan2(table[2 * j + 1]!, table[2 * j]!));
}

const LLAMA3 = { kind: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalContext: 8192 } as const;

test("Llama 3.1: fast pairs are kept, slow ones are 8 times slower, between them is a mix", () => {
  const kind = { theta: 500_000, dims: 128 };
  const plain = angles(kind, 1);
  const scaled = angles({ ...kind, scaling: LLAMA3 }, 1);
  const slower = plain.map((angle, j) => angle / scaled[j]!);
  // Wavelength 2 pi 500000^(2j/128) passes 8192 / 4 between pairs 28 and 29, and 8192 between 34 and 35.
  for (let j = 0; j < 64; j++) {
    if (j <= 28) expect(slower[j]).toBeCloseTo(1, 5);
    else if (j >= 35) expect(slower[j]).toBeCloseTo(8, 4);
    else expect(slower[j]! > slower[j - 1]! && slower[j]! < 8).toBe(true);
  }
  // By hand for pair 31: wavelength 2 pi 500000^(62/128) = 3619.25, smooth (8192 / 3619.25 - 1) / 3 = 0.42115.
  expect(1 / slower[31]!).toBeCloseTo((1 - 0.42115) / 8 + 0.42115, 3);
});

test.each([
  { scaling: LLAMA3, theta: 500_000, dims: 64 },
  { scaling: { ...LLAMA3, factor: 32, originalContext: 100 }, theta: 1e4, dims: 24 },
  { scaling: { kind: "linear", factor: 4 } as const, theta: 1e4, dims: 32 },
  { factors: Float32Array.of(1, 1.5, 2, 8), theta: 100, dims: 8 },
])("%o turns as the reference does, far out too", (kind) => {
  const half = kind.dims / 2;
  // Unit vectors along the first of each pair: what the reference makes of them are cosines and sines.
  const x = Float64Array.from({ length: kind.dims }, (_, i) => (i < half ? 1 : 0));
  for (const pos of [0, 1, 127, 8191, 131_071]) {
    const expected = rope({ x, headDim: kind.dims, positions: [pos], ...kind });
    const table = ropeAngles(kind, pos, 1);
    for (let j = 0; j < half; j++) {
      expect(table[2 * j]).toBeCloseTo(expected[j]!, 6);
      expect(table[2 * j + 1]).toBeCloseTo(expected[j + half]!, 6);
    }
  }
});
