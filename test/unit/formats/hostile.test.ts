/**
 * Damaged files of both formats: whatever the damage, the answer is a checkpoint whose tensors lie inside the file or a
 * named error - never a hang, a huge allocation or an error of the language.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FormatError, UnsupportedError } from "../../../src/errors.ts";
import type { Checkpoint } from "../../../src/formats/checkpoint.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import type { FileSet } from "../../../src/sources/byte-source.ts";
import { memoryFileSet } from "../../fixtures/files.ts";
import { makeGguf } from "../../fixtures/make-gguf.ts";
import { makeSafetensors } from "../../fixtures/make-safetensors.ts";

const TENSORS = [
  { name: "blk.0.x", dtype: "F32", shape: [3, 4], bytes: new Uint8Array(48) },
  { name: "blk.0.y", dtype: "F16", shape: [2, 2, 5], bytes: new Uint8Array(40) },
] as const;
const GGUF = makeGguf({
  metadata: { "general.architecture": "mai", "a.words": ["one", "two", ""], "a.flags": [true, false], "a.x": 0.5 },
  tensors: [...TENSORS, { name: "q", dtype: "Q8_0", shape: [2, 32], bytes: new Uint8Array(68) }],
});
const SAFETENSORS = makeSafetensors(TENSORS);

const FORMATS: [string, Uint8Array<ArrayBuffer>, (bytes: Uint8Array<ArrayBuffer>) => FileSet][] = [
  ["GGUF", GGUF, (bytes) => memoryFileSet({ "m.gguf": bytes })],
  ["safetensors", SAFETENSORS, (bytes) => memoryFileSet({ "config.json": "{}", "model.safetensors": bytes })],
];

/** Opens `files`; anything but a sound checkpoint or a named error fails the test. */
async function openOrRefuse(files: FileSet, size: number): Promise<Checkpoint | undefined> {
  try {
    const checkpoint = await openCheckpoint(files);
    for (const { offset, byteLength } of checkpoint.tensors.values()) {
      expect(offset >= 0 && byteLength >= 0 && offset + byteLength <= size).toBe(true);
    }
    return checkpoint;
  } catch (error) {
    if (error instanceof FormatError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

describe.each(FORMATS)("%s", (_, whole, filesOf) => {
  test("the undamaged file opens", async () => {
    expect((await openOrRefuse(filesOf(whole), whole.length))?.tensors.size).toBeGreaterThan(1);
  });

  test("every truncation is refused, but for padding behind the last tensor", async () => {
    const { tensors } = await openCheckpoint(filesOf(whole));
    const lastByte = Math.max(...[...tensors.values()].map(({ offset, byteLength }) => offset + byteLength));
    for (let length = 0; length < whole.length; length++) {
      const checkpoint = await openOrRefuse(filesOf(whole.slice(0, length)), length);
      expect(checkpoint === undefined, `${length} of ${whole.length} bytes`).toBe(length < lastByte);
    }
  });

  test("random damage", async () => {
    const place = fc.nat(whole.length - 1);
    const values = fc.oneof(
      fc.constant([255, 255, 255, 255, 255, 255, 255, 127]),
      fc.array(fc.nat(255), { maxLength: 8 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(place, values), { minLength: 1, maxLength: 4 }), async (edits) => {
        const bytes = whole.slice();
        for (const [at, edit] of edits) bytes.set(edit.slice(0, bytes.length - at), at);
        await openOrRefuse(filesOf(bytes), bytes.length);
      }),
      { numRuns: 3000 },
    );
  }, 30_000);

  test("random bytes behind a sound beginning", async () => {
    const tail = fc.uint8Array({ maxLength: 400 });
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length), tail, async (keep, noise) => {
        const bytes = new Uint8Array(keep + noise.length);
        bytes.set(whole.subarray(0, keep));
        bytes.set(noise, keep);
        await openOrRefuse(filesOf(bytes), bytes.length);
      }),
      { numRuns: 1000 },
    );
  }, 30_000);
});

test("a terabyte file with a forged header is read in small pieces only", async () => {
  const TERABYTE = 2 ** 40;
  for (const claim of ["tensors", "entries", "text", "array"]) {
    let readBytes = 0;
    const header = forgedHeader(claim);
    const source = {
      label: "huge.gguf",
      size: async () => TERABYTE,
      read: async (offset: number, length: number) => {
        readBytes += length;
        const bytes = new Uint8Array(length);
        if (offset < header.length) bytes.set(header.subarray(offset, offset + length));
        return bytes;
      },
    };
    const files: FileSet = { label: "huge", entry: "huge.gguf", open: async () => source };
    await expect(openCheckpoint(files), claim).rejects.toBeInstanceOf(FormatError);
    expect(readBytes, claim).toBeLessThan(130 * 2 ** 20);
  }
}, 30_000);

/** A header that claims more of something than a header may hold, though the file would have room. */
function forgedHeader(claim: string): Uint8Array {
  const count = { tensors: 8, entries: 16, text: 37, array: 41 }[claim] ?? 0;
  const bytes = makeGguf({ metadata: { a: claim === "array" ? [1] : "text" } });
  new DataView(bytes.buffer).setBigUint64(count, 100_000_000n, true);
  return bytes;
}
