/** Short texts against the platform's decoder. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { shortText } from "../../../src/util/short-text.ts";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

test("what it decodes is what the platform decodes, whatever the bytes", () => {
  const byte = fc.oneof(fc.integer({ min: 0, max: 127 }), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.array(byte, { maxLength: 60 }), (any, likely) => {
      for (const bytes of [any, Uint8Array.from(likely)]) {
        const text = shortText(bytes);
        if (text !== undefined) expect(text).toBe(decoder.decode(bytes));
      }
    }),
    { numRuns: 2000 },
  );
});

test.each([
  ["", ""],
  ["Ġonce", "Ġonce"],
  ["naïve Привет", "naïve Привет"],
  ["\u0080\u07ff\u0000", "\u0080\u07ff\u0000"],
  ["\ufefftext", undefined],
  ["日本", undefined],
  ["🦉", undefined],
  ["x".repeat(49), undefined],
])("%j", (text, expected) => {
  expect(shortText(new TextEncoder().encode(text))).toBe(expected);
});

test.each([[0xc1, 0x81], [0xc3], [0xc3, 0x41], [0x80], [0xe2, 0x82, 0xac], [0xff]])(
  "malformed or longer is left alone",
  (...bytes) => {
    expect(shortText(Uint8Array.from(bytes))).toBeUndefined();
  },
);
