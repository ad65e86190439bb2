/** GGUF files as Octavo reads them, held against @huggingface/gguf where both read, and the refusals. */
import { gguf } from "@huggingface/gguf";
import { describe, expect, test } from "vitest";
import { FormatError, UnsupportedError } from "../../../src/errors.ts";
import { BLOCKS, type DType, isScaled } from "../../../src/formats/dtype.ts";
import { DTYPES } from "../../../src/formats/gguf-types.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { memoryFileSet, openGgufBytes, readRepositoryFile } from "../../fixtures/files.ts";
import { TYPES } from "../../fixtures/gguf/lib/ggml-quants.mjs";
import { type FixtureTensor, type GgufFixture, makeGguf } from "../../fixtures/make-gguf.ts";

const f32 = (name: string, shape: number[]): FixtureTensor => ({
  name,
  dtype: "F32",
  shape,
  bytes: new Uint8Array(shape.reduce((a, b) => a * b, 4)).fill(name.length),
});

/** What the library makes of the same bytes, served to it in its own ranges. */
function readWithLibrary(bytes: Uint8Array<ArrayBuffer>): ReturnType<typeof gguf> {
  const serve: typeof fetch = async (_, init) => {
    const [, start, end] = /(\d+)-(\d+)/.exec(new Headers(init?.headers).get("range") ?? "") ?? [];
    return new Response(bytes.subarray(Number(start), Number(end) + 1));
  };
  return gguf("https://model.invalid/m.gguf", { fetch: serve });
}

describe("what is in a file", () => {
  test("every value type, spelling untouched, 64-bit integers as numbers where they are safe", async () => {
    const { config, container } = await openGgufBytes(
      makeGguf({
        metadata: {
          u8: { type: "u8", value: 255 },
          i8: { type: "i8", value: -128 },
          u16: { type: "u16", value: 65535 },
          i16: { type: "i16", value: -2 },
          "a.u32": 4294967295,
          i32: { type: "i32", value: -3 },
          f32: 0.5,
          f64: { type: "f64", value: 0.1 },
          yes: true,
          text: "h\u00e9 \ufeff",
          u64: { type: "u64", value: 2 ** 53 - 1 },
          huge: { type: "u64", value: 2n ** 64n - 1n },
          i64: { type: "i64", value: -5n },
          empty: { type: "u8", value: [] },
          flags: [true, false],
          words: ["a", "", "\ufeffb"],
          numbers: [1, 2],
          __proto__x: 1,
          ["__proto__"]: "own",
        },
      }),
    );
    expect(container).toBe("gguf");
    expect(Object.getPrototypeOf(config)).toBe(Object.prototype);
    expect({ ...config }).toMatchObject({
      u8: 255,
      i8: -128,
      u16: 65535,
      i16: -2,
      "a.u32": 4294967295,
      i32: -3,
      f32: 0.5,
      f64: 0.1,
      yes: true,
      text: "h\u00e9 \ufeff",
      u64: 2 ** 53 - 1,
      huge: 2n ** 64n - 1n,
      i64: -5,
      empty: [],
      flags: [true, false],
      words: ["a", "", "\ufeffb"],
      numbers: [1, 2],
    });
    expect(Object.hasOwn(config, "__proto__")).toBe(true);
  });

  test("shapes outermost first, offsets absolute, alignment honoured", async () => {
    for (const alignment of [8, 32, 256]) {
      for (const version of [2, 3]) {
        const bytes = makeGguf({
          tensors: [f32("a", [3, 5]), f32("bb", [2, 3, 4]), f32("ccc", [7])],
          alignment,
          version,
        });
        const { tensors, shards } = await openGgufBytes(bytes);
        expect([...tensors.values()].map(({ name, shape }) => [name, shape])).toEqual([
          ["a", [3, 5]],
          ["bb", [2, 3, 4]],
          ["ccc", [7]],
        ]);
        for (const { name, offset, byteLength } of tensors.values()) {
          expect(offset % alignment).toBe(0);
          expect(await shards[0]?.read(offset, byteLength)).toEqual(new Uint8Array(byteLength).fill(name.length));
        }
      }
    }
  });

  test("a header longer than the pieces it is read in", async () => {
    const words = Array.from({ length: 90_000 }, (_, i) => `token number ${i}`);
    const { config } = await openGgufBytes(makeGguf({ metadata: { words, long: "x".repeat(1_500_000), after: 7 } }));
    expect(config.words).toEqual(words);
    expect(config.long).toHaveLength(1_500_000);
    expect(config.after).toBe(7);
  });

  test("the library reads the default model as we do", async () => {
    const bytes = readRepositoryFile("demo/public/models/octavo-tales/octavo-tales-q8_0.gguf");
    const [ours, theirs] = await Promise.all([openGgufBytes(bytes), readWithLibrary(bytes)]);
    const { version: _, tensor_count: __, kv_count: ___, ...metadata } = theirs.metadata;
    expect(ours.config).toEqual(metadata);
    expect(
      [...ours.tensors.values()].map(({ name, shape, offset }) => [name, shape.map(BigInt).reverse(), offset]),
    ).toEqual(
      theirs.tensorInfos.map(({ name, shape, offset }) => [name, shape, Number(theirs.tensorDataOffset + offset)]),
    );
  });

  test("the library cuts a text that straddles its 2 MB chunks, which is why it is not used", async () => {
    const bytes = makeGguf({ metadata: { pad: "x".repeat(1_400_000), text: "y".repeat(900_000) } });
    expect((await openGgufBytes(bytes)).config.text).toHaveLength(900_000);
    const length = (metadata: object): number => String(new Map(Object.entries(metadata)).get("text")).length;
    const theirs = await readWithLibrary(bytes).then(
      ({ metadata }) => length(metadata),
      () => -1,
    );
    expect(theirs).not.toBe(900_000);
  });
});

test("storage types have ggml's numbers and block sizes", () => {
  const scaled = (Object.keys(BLOCKS) as DType[]).filter(isScaled); // those are of Hugging Face folders
  expect(DTYPES.size).toBe(Object.keys(BLOCKS).length - scaled.length);
  for (const [id, dtype] of DTYPES) {
    const { elements, bytes } = BLOCKS[dtype];
    expect(TYPES[dtype]).toMatchObject({ id, block: elements, bytes });
  }
});

describe("split files", () => {
  const part = (index: number, extra: GgufFixture["metadata"] = {}): Uint8Array<ArrayBuffer> =>
    makeGguf({
      metadata: { "split.no": index, "split.count": 3, ...extra },
      tensors: [f32(`t${index}`, [4])],
    });
  const name = (index: number): string => `m-0000${index}-of-00003.gguf`;

  test("all shards, metadata of the first", async () => {
    const files = { [name(1)]: part(0, { first: true }), [name(2)]: part(1), [name(3)]: part(2) };
    const checkpoint = await openCheckpoint(memoryFileSet(files));
    expect([...checkpoint.tensors.values()].map((tensor) => [tensor.name, tensor.shard])).toEqual([
      ["t0", 0],
      ["t1", 1],
      ["t2", 2],
    ]);
    expect(checkpoint.config.first).toBe(true);
    expect(checkpoint.shards.map(({ label }) => label)).toEqual([name(1), name(2), name(3)]);
  });

  test("a missing shard, a shard twice, a count that is not the name's", async () => {
    const one = { [name(1)]: part(0), [name(2)]: part(1) };
    await expect(openCheckpoint(memoryFileSet(one))).rejects.toThrow(/shard "m-00003-of-00003.gguf" is missing/);
    const twice = { ...one, [name(3)]: part(1) };
    await expect(openCheckpoint(memoryFileSet(twice))).rejects.toThrow(/"t1": expected every tensor name once/);
    await expect(openGgufBytes(part(0))).rejects.toThrow(/split.count 3, got 1/);
    await expect(openGgufBytes(part(0), "m-00004-of-00003.gguf")).rejects.toThrow(/shard from 1 to 3/);
    await expect(openGgufBytes(part(0), "m-00001-of-99999.gguf")).rejects.toThrow(FormatError);
  });
});

/** A valid file with `bytes` written over it at `offset`. */
function patched(fixture: GgufFixture, offset: number, ...values: number[]): Uint8Array<ArrayBuffer> {
  const bytes = makeGguf(fixture);
  bytes.set(values, offset);
  return bytes;
}

describe("refusals say file, place, expected and got", () => {
  const one = { tensors: [f32("t", [4, 8])] };
  // Tensor entry from byte 24: 8 length, 1 name, 4 count, 16 dims, 4 type, 8 offset.
  const FULL = [255, 255, 255, 255, 255, 255, 255, 255];
  const cases: [string, Uint8Array<ArrayBuffer>, RegExp][] = [
    ["empty", new Uint8Array(0), /model.gguf, byte 0: expected 24 bytes for magic.*got 0/],
    ["not GGUF", patched(one, 0, 0x50), /byte 0: expected the magic "GGUF", got 0x46554750/],
    ["version", patched(one, 4, 9), /byte 4: expected GGUF version 2 or 3, got 9/],
    ["forged tensor count", patched(one, 8, ...FULL), /byte 8: expected at most \d+ tensors.*got 18446744073709551615/],
    [
      "forged entry count",
      patched(one, 16, 0, 0, 0, 1),
      /byte 16: expected at most \d+ metadata entries.*got 16777216/,
    ],
    ["forged name length", patched(one, 24, ...FULL), /byte 24: expected at most \d+ bytes for a tensor name/],
    ["no dimensions", patched(one, 33, 0), /byte 33: expected 1 to 4 dimensions of "t", got 0/],
    ["many dimensions", patched(one, 33, 5), /expected 1 to 4 dimensions of "t", got 5/],
    ["dimension 0", patched(one, 37, 0), /byte 37: expected 1 to 9007199254740991 for a dimension of "t", got 0/],
    ["dimension 2^64-1", patched(one, 37, ...FULL), /byte 37: .*got 18446744073709551615/],
    [
      "elements beyond 2^53",
      patched(one, 37, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 1),
      /expected fewer than 2\^53 elements/,
    ],
    [
      "larger than the file",
      patched(one, 37, 0, 1),
      /tensor "t": expected its 4096 bytes at 96 to lie inside the file, got/,
    ],
    ["offset unaligned", patched(one, 57, 4), /expected an offset that is a multiple of 32, got 4/],
    ["offset past the end", patched(one, 57, 0, 1), /expected its 128 bytes at 352 to lie inside the file/],
    ["offset 2^63", patched(one, 57, 0, 0, 0, 0, 0, 0, 0, 128), /for the offset of "t", got 9223372036854775808/],
    ["the same name twice", makeGguf({ tensors: [f32("t", [4]), f32("t", [4])] }), /expected every tensor name once/],
    ["the same key twice", makeGguf({ metadata: { a: 1, b: 2 } }).map((x) => (x === 98 ? 97 : x)), /"a" again/],
    ["alignment 0", makeGguf({ metadata: { "general.alignment": 0 }, ...one }), /power of two.*got 0/],
    ["alignment 24", makeGguf({ metadata: { "general.alignment": 24 }, ...one }), /power of two.*got 24/],
    ["alignment text", makeGguf({ metadata: { "general.alignment": "x" }, ...one }), /power of two.*got "x"/],
    [
      "value type 99",
      patched({ metadata: { a: 1 } }, 33, 99),
      /byte 33: expected a value type from 0 to 12 for "a", got 99/,
    ],
    ["array count", patched({ metadata: { a: [1] } }, 41, ...FULL), /byte 41: expected at most \d+ elements of "a"/],
    ["array type", patched({ metadata: { a: [1] } }, 37, 77), /expected an element type from 0 to 12 for "a", got 77/],
    [
      "text length",
      patched({ metadata: { a: "b" } }, 37, ...FULL),
      /byte 37: expected at most \d+ bytes for the value of "a"/,
    ],
    ["Q8_0 rows", patched(one, 53, 8), /"t": expected rows of whole Q8_0 blocks of 32, got 8 elements/],
    ["Q4_K rows", patched(one, 53, 12), /"t": expected rows of whole Q4_K blocks of 256, got 8 elements/],
  ];
  test.each(cases)("%s", async (_, bytes, message) => {
    const failure = openGgufBytes(bytes);
    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toBeInstanceOf(FormatError);
  });

  const unsupported: [string, Uint8Array<ArrayBuffer>, RegExp][] = [
    [
      "IQ2_XXS",
      patched(one, 53, 16),
      /"t" is stored as IQ2_XXS; supported are F32, F16, Q4_0, .*, IQ4_NL, BF16, MXFP4$/,
    ],
    ["an unknown storage type", patched(one, 53, 200), /"t" is stored as number 200/],
    ["version 1", patched(one, 4, 1), /GGUF version 1 is not supported/],
    ["big-endian", patched(one, 4, 0, 0, 0, 3), /big-endian GGUF is not supported/],
    ["arrays of arrays", patched({ metadata: { a: [1] } }, 37, 9), /"a" is an array of arrays/],
  ];
  test.each(unsupported)("%s", async (_, bytes, message) => {
    const failure = openGgufBytes(bytes);
    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toBeInstanceOf(UnsupportedError);
  });
});
