/**
 * Thousands of damaged headers of every kind: each ends in a named error or a sound model, soon, and without a read past an
 * end. The damage is drawn from a seed, so a failure names a case that repeats. FORGED_CASES=1000000 tries more.
 */
import { describe, expect, test } from "vitest";
import { ORIGINALS, type Original } from "./originals.ts";
import { outcomeOf } from "./outcome.ts";

/** Of each original. */
const CASES = Math.ceil(Number(process.env.FORGED_CASES ?? 21_000) / Object.keys(ORIGINALS).length);
const SEED = Number(process.env.FORGED_SEED ?? 20_260);
const TIMEOUT_MS = 60_000 + CASES * 20;

/** Numbers that sit on the edges of what a field can hold. */
const EDGES = [0n, 1n, 127n, 255n, 65535n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
const TEXTS = ["-1", "1e999", "null", "[]", "{}", '"', "\\u0000", "99999999999999999999", "[[[[", '"__proto__"', ","];

/** Natural numbers below `bound`, the same for every run (xorshift32). */
function drawer(seed: number): (bound: number) => number {
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

type Damage = (bytes: Uint8Array<ArrayBuffer>, at: number, draw: (bound: number) => number) => Uint8Array<ArrayBuffer>;

const splice = (bytes: Uint8Array, at: number, remove: number, put: Uint8Array): Uint8Array<ArrayBuffer> => {
  const rest = bytes.subarray(Math.min(bytes.length, at + remove));
  const joined = new Uint8Array(at + put.length + rest.length);
  joined.set(bytes.subarray(0, at));
  joined.set(put, at);
  joined.set(rest, at + put.length);
  return joined;
};

/** In place where the length stays. */
const DAMAGES: readonly Damage[] = [
  flipBit,
  flipBit,
  flipBit,
  (bytes, at, draw) => {
    bytes[at] = draw(256);
    return bytes;
  },
  (bytes, at, draw) => {
    const width = [1, 2, 4, 8][draw(4)] ?? 1;
    const value = EDGES[draw(EDGES.length)] ?? 0n;
    for (let i = 0; i < width && at + i < bytes.length; i++) bytes[at + i] = Number((value >> BigInt(8 * i)) & 255n);
    return bytes;
  },
  (bytes, at, draw) => splice(bytes, at, draw(12), new Uint8Array(0)),
  (bytes, at, draw) => splice(bytes, at, draw(3), new TextEncoder().encode(TEXTS[draw(TEXTS.length)])),
  (bytes, at, draw) => splice(bytes, at, 0, bytes.slice(at, at + 1 + draw(60))),
  (bytes, at) => bytes.slice(0, at),
];

function flipBit(bytes: Uint8Array<ArrayBuffer>, at: number, draw: (bound: number) => number): Uint8Array<ArrayBuffer> {
  bytes[at] = (bytes[at] ?? 0) ^ (1 << draw(8));
  return bytes;
}

function forge({ files, target, headerBytes }: Original, draw: (bound: number) => number) {
  let bytes = (files[target] ?? new Uint8Array(0)).slice();
  for (let edits = 1 + draw(2); edits > 0; edits--) {
    const damage = DAMAGES[draw(DAMAGES.length)] ?? flipBit;
    bytes = damage(bytes, draw(Math.max(1, Math.min(headerBytes, bytes.length))), draw);
  }
  return { ...files, [target]: bytes };
}

describe.each(Object.entries(ORIGINALS))("%s", (name, original) => {
  test("the original is sound", async () => {
    expect(await outcomeOf(original.files, original.entry)).toEqual({ accepted: true, refusal: "" });
  });

  test(
    `${CASES} forgeries`,
    async () => {
      let refused = 0;
      for (let i = 0; i < CASES; i++) {
        const files = forge(original, drawer(SEED + i));
        const outcome = await outcomeOf(files, original.entry).catch((error: unknown) => {
          throw new Error(`${name}: FORGED_SEED=${SEED + i}, the first case then`, { cause: error });
        });
        if (!outcome.accepted) refused += 1;
      }
      // Harmless damage exists: names, unused metadata, numbers that a model may have.
      expect(refused).toBeGreaterThan(CASES / 4);
    },
    TIMEOUT_MS,
  );
});
