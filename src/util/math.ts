/** Integer arithmetic on sizes and counts, and sizes for people. Nothing here knows about tensors. */

/** Smallest integer >= `value / divisor`; both must be safe integers, `divisor` positive. */
export function ceilDiv(value: number, divisor: number): number {
  return Math.ceil(value / divisor);
}

/** Smallest multiple of `alignment` that is >= `value`. */
export function alignUp(value: number, alignment: number): number {
  return ceilDiv(value, alignment) * alignment;
}

/** `1536` -> `"1.5 KiB"`: one decimal below 100 of a unit, binary units. */
export function humanBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const text = unit === 0 || value >= 100 ? Math.round(value).toString() : value.toFixed(1).replace(/\.0$/, "");
  return `${text} ${units[unit] ?? "B"}`;
}

/** Product of `factors`, or `undefined` when it is not a safe integer. An empty list gives 1. */
export function safeProduct(factors: readonly number[]): number | undefined {
  let product = 1;
  for (const factor of factors) {
    product *= factor;
    if (!Number.isSafeInteger(product)) return undefined;
  }
  return product;
}
