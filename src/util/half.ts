/**
 * 16-bit floats as bit patterns: IEEE half (F16) and the upper half of a float32 (BF16). Widening is exact; narrowing
 * rounds to nearest, ties to even. Written out because `Float16Array` is not yet everywhere.
 */

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

function bitsOf(value: number): number {
  float[0] = value;
  return word[0] ?? 0;
}

function floatOf(bits: number): number {
  word[0] = bits;
  return float[0] ?? 0;
}

/** The number that the F16 bit pattern `bits` stands for. */
export function f16ToF32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The F16 bit pattern nearest to `value` (first rounded to float32); overflow gives infinity, NaN a quiet NaN. */
export function f32ToF16(value: number): number {
  const bits = bitsOf(value);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 is half way between the largest half and the next step: it and everything above rounds to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) return sign | roundTiesToEven(Math.abs(floatOf(magnitude)) * 2 ** 24);
  // Rebias the exponent from 127 to 15, then round away 13 bits; a carry runs into the exponent as it should.
  const rebased = magnitude - (112 << 23);
  return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
}

/** The number that the BF16 bit pattern `bits` stands for. */
export function bf16ToF32(bits: number): number {
  return floatOf((bits << 16) >>> 0);
}

/** The BF16 bit pattern nearest to `value` (first rounded to float32). */
export function f32ToBf16(value: number): number {
  const bits = bitsOf(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) / 0x10000) & 0xffff;
}

function roundTiesToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor + (floor & 1);
}
