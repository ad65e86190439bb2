/** How the page writes numbers: bytes in decimal units, durations, rates and shares. */

const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** `18603968` becomes "18.6 MB". */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** "840 ms", "2.4 s". */
export function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

/** Three figures at most: "0.42", "8.3", "112". */
export function figures(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}

/** "87 %"; a share that is not quite everything never reads as 100 %. */
export function percent(part: number, whole: number): string {
  if (whole <= 0) return "–";
  const share = (100 * part) / whole;
  return `${part < whole ? Math.min(99, Math.round(share)) : 100} %`;
}
