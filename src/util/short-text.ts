/**
 * Short UTF-8 texts made into strings of the engine's own heap. A browser's `TextDecoder` gives each text an allocation of
 * the browser's beside the heap: the 200,000 tokens of a vocabulary take 25 MB of them.
 */

/** Longer texts are few. */
const MOST_BYTES = 48;
const units = new Uint16Array(MOST_BYTES);

/** The text of `bytes` where they are few and all of their characters take one or two, as nearly all of a vocabulary do. */
export function shortText(bytes: Uint8Array): string | undefined {
  if (bytes.length > MOST_BYTES) return undefined;
  let length = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte < 0x80) {
      units[length++] = byte;
      continue;
    }
    const next = bytes[++at] ?? 0;
    if (byte < 0xc2 || byte > 0xdf || (next & 0xc0) !== 0x80) return undefined; // longer, or malformed
    units[length++] = ((byte & 0x1f) << 6) | (next & 0x3f);
  }
  return String.fromCharCode.apply(undefined, units.subarray(0, length) as unknown as number[]);
}
