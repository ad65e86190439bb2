/** The 8-bit float E4M3 of the OCP specification in its form without infinities ("fn"), as numbers. */

/** `code`: sign, 4 bits of exponent with bias 7, 3 of fraction; exponent 0 is subnormal, all ones below the sign NaN. */
export function e4m3ToF32(code: number): number {
  const sign = code & 0x80 ? -1 : 1;
  const [exponent, fraction] = [(code >> 3) & 15, code & 7];
  if (exponent === 15 && fraction === 7) return Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10));
}
