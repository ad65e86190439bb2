/** 16-bit floats: every pattern there and back, and rounding at the edges. */
import { expect, test } from "vitest";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../../src/util/half.ts";

test.each([
  ["F16", f16ToF32, f32ToF16],
  ["BF16", bf16ToF32, f32ToBf16],
] as const)("every %s pattern comes back", (_, widen, narrow) => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const value = widen(bits);
    if (Number.isNaN(value)) expect(widen(narrow(value))).toBeNaN();
    else if (narrow(value) !== bits)
      throw new Error(`${bits.toString(16)} -> ${value} -> ${narrow(value).toString(16)}`);
  }
});

test("known values", () => {
  const f16 = [0x0001, 0x03ff, 0x0400, 0x3c00, 0x3555, 0x7bff, 0x7c00, 0xc000, 0x8000].map(f16ToF32);
  expect(f16).toEqual([2 ** -24, 1023 * 2 ** -24, 2 ** -14, 1, 0.333251953125, 65504, Infinity, -2, -0]);
  expect([0x3f80, 0xc000, 0x7f80, 0x0001].map(bf16ToF32)).toEqual([1, -2, Infinity, 2 ** -133]);
});

test("narrowing rounds to nearest, ties to even", () => {
  const half: [number, number][] = [
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [1 + 2 ** -11 + 2 ** -20, 0x3c01],
    [65519, 0x7bff],
    [65520, 0x7c00],
    [2 ** -25, 0],
    [2 ** -25 * 1.0001, 1],
    [3 * 2 ** -25, 2],
    [2 ** -14 - 2 ** -26, 0x400],
    [-1e9, 0xfc00],
    [1e-30, 0],
  ];
  for (const [value, bits] of half) expect(f32ToF16(value).toString(16), `${value}`).toBe(bits.toString(16));
  const brain: [number, number][] = [
    [1 + 2 ** -8, 0x3f80],
    [1 + 3 * 2 ** -8, 0x3f82],
    [3.4e38, 0x7f80],
    [-1e-45, 0x8000],
  ];
  for (const [value, bits] of brain) expect(f32ToBf16(value).toString(16), `${value}`).toBe(bits.toString(16));
});
