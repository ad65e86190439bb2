/** Random numbers as pure functions of what they are for, in 32-bit integer arithmetic: the same bits everywhere. */

/** Mixes two 32-bit numbers to one, each bit depending on all bits of both. */
export function mix(a: number, b: number): number {
  let h = (Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) + Math.imul(b ^ 0x7f4a7c15, 0xc2b2ae35)) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** 32 bits of `text` under `seed`. */
export function mixText(seed: number, text: string): number {
  let h = seed >>> 0;
  for (let i = 0; i < text.length; i++) h = mix(h, text.charCodeAt(i));
  return h;
}

/** Number `index` of the stream `seed`, uniform in [0, 1). */
export function uniformAt(seed: number, index: number): number {
  return mix(seed, index) / 2 ** 32;
}

/** Standard deviation of the sum of four uniform 16-bit numbers. */
const SUM_DEVIATION = Math.sqrt((4 * (2 ** 32 - 1)) / 12);

/** Number `index` of the stream `seed`, nearly normal: mean 0, variance 1, within 3.5. A sum, since logarithms differ. */
export function normalAt(seed: number, index: number): number {
  const a = mix(seed, index);
  const b = mix(a, index);
  return ((a & 0xffff) + (a >>> 16) + (b & 0xffff) + (b >>> 16) - 2 * 0xffff) / SUM_DEVIATION;
}
