/** Virtual checkpoints: ranges agree with each other, containers with each other, values with what they are to be. */
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { BLOCKS, type DType, isScaled } from "../../../src/formats/dtype.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import { loadTokenizer } from "../../../src/tokenizer/load.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { expectEqualBytes } from "../../fixtures/equal-bytes.ts";
import { dequantize } from "../../fixtures/gguf/lib/ggml-quants.mjs";
import { ladderCheckpoint, virtualFiles } from "../../virtual/checkpoint.ts";
import { FAMILIES, familyBlueprint } from "../../virtual/families.ts";
import { virtualFileSet } from "../../virtual/source.ts";
import { TensorBytes, type VirtualTensor } from "../../virtual/tensor-bytes.ts";
import { makeVocabulary } from "../../virtual/vocabulary.ts";
import { TINY } from "./tiny.ts";

vi.setConfig({ testTimeout: 60_000 }); // a second's work for one machine alone is many for one that is shared

const DTYPES = (Object.keys(BLOCKS) as DType[]).filter((dtype) => !isScaled(dtype));

function tensorOf(dtype: DType, rowSpread?: number): VirtualTensor {
  const values = { key: "x", deviation: 0.02, mean: 0, ...(rowSpread === undefined ? {} : { rowSpread }) };
  return { name: "x", dtype, shape: [40, 1024], values, firstElement: 0 };
}

function bytesOf(tensor: VirtualTensor, offset: number, length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  new TensorBytes(seed).fill(tensor, offset, bytes);
  return bytes;
}

describe("the bytes of a tensor", () => {
  const kinds: [string, VirtualTensor][] = DTYPES.map((dtype) => [dtype, tensorOf(dtype)]);

  test.each([...kinds, ["F32, rows of unequal size", tensorOf("F32", 0.35)]] as typeof kinds)(
    "%s: any range is that slice of a larger one",
    (_, tensor) => {
      const source = new TensorBytes(3);
      const whole = new Uint8Array(20_000);
      source.fill(tensor, 0, whole);
      const range = fc
        .tuple(fc.nat(whole.length), fc.nat(whole.length))
        .map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
      fc.assert(
        fc.property(range, ([start, end]) => {
          const part = new Uint8Array(end - start);
          source.fill(tensor, start, part);
          expectEqualBytes(part, whole.subarray(start, end));
        }),
        { seed: 5, numRuns: 60 },
      );
    },
  );

  test.each(DTYPES)("%s: valid blocks, normal values of the size asked for", (dtype) => {
    const { elements, bytes } = BLOCKS[dtype];
    const count = 32 * 1024;
    const values = dequantize(dtype, bytesOf(tensorOf(dtype), 0, (count / elements) * bytes), count);
    const mean = values.reduce((sum, x) => sum + x, 0) / count;
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count);
    expect(values.every(Number.isFinite)).toBe(true);
    expect(Math.abs(mean)).toBeLessThan(0.001);
    expect(deviation).toBeGreaterThan(0.018);
    expect(deviation).toBeLessThan(0.022);
  });

  test("seed, tensor and place each change them; nothing else does", () => {
    const tensor = tensorOf("Q4_0");
    const first = bytesOf(tensor, 0, 5000);
    const differs = (other: Uint8Array): number => other.reduce((sum, byte, i) => sum + Number(byte !== first[i]), 0);
    expectEqualBytes(bytesOf({ ...tensor, name: "y", shape: [9, 32] }, 0, 5000), first);
    for (const other of [
      bytesOf(tensor, 0, 5000, 2),
      bytesOf({ ...tensor, values: { ...tensor.values, key: "y" } }, 0, 5000),
      bytesOf(tensor, 18 * 512, 5000),
    ]) {
      expect(differs(other)).toBeGreaterThan(4000);
    }
  });

  test("far out in a tensor of terabytes", () => {
    const at = 2 ** 42 + 17;
    expectEqualBytes(bytesOf(tensorOf("BF16"), at + 100, 50), bytesOf(tensorOf("BF16"), at, 200).subarray(100, 150));
  });
});

const open = async (checkpoint: ReturnType<typeof ladderCheckpoint>) => openCheckpoint(virtualFileSet(checkpoint));

describe("containers", () => {
  test.each(["F32", "F16", "BF16"] as const)(
    "GGUF and safetensors, whole and in shards, hold the same %s model",
    async (type) => {
      const wanted = { rung: "L6", type, set: TINY } as const;
      const variants = [
        ladderCheckpoint({ ...wanted, container: "gguf" }),
        ladderCheckpoint({ ...wanted, container: "gguf", shardBytes: 300_000 }),
        ladderCheckpoint({ ...wanted, container: "safetensors" }),
        ladderCheckpoint({ ...wanted, container: "safetensors", shardBytes: 300_000 }),
      ];
      const opened = await Promise.all(variants.map(open));
      expect(opened.map(({ shards }) => shards.length > 1)).toEqual([false, true, false, true]);
      const models = opened.map((checkpoint) => ({ checkpoint, ...describeModel(checkpoint) }));
      const maps = models.map(({ checkpoint, spec, names }) => createWeightMap(checkpoint, spec, names));
      const [spec, first] = [models[0]!.spec, maps[0]!];
      for (const [i, map] of maps.entries()) {
        expect(models[i]!.spec).toEqual(spec);
        for (const { ref, shape } of first.dense) {
          const read = (of: typeof map) =>
            shape.length === 1 ? of.readVector(ref) : of.readMatrixRows(ref, 0, shape[0]);
          expectEqualBytes(await read(map), await read(first));
        }
        for (const expert of [0, 1, 63])
          expectEqualBytes(await map.readExpert(5, expert), await first.readExpert(5, expert));
      }
      expect((await first.readExpert(5, 0)).join()).not.toBe((await first.readExpert(5, 1)).join());
    },
  );

  test("a file's size is where its last tensor ends, and past the header everything is filled", async () => {
    const { files, entry = "" } = ladderCheckpoint({ rung: "L6", type: "Q4_0", container: "gguf", set: TINY });
    const file = files.get(entry)!;
    const { tensors } = await openCheckpoint(virtualFileSet({ files, entry }));
    const ends = [...tensors.values()].map(({ offset, byteLength }) => offset + byteLength);
    expect(file.size - Math.max(...ends)).toBeLessThan(32);
    for (const { offset, byteLength } of tensors.values()) {
      const bytes = file.read(offset, Math.min(byteLength, 512));
      expect(bytes.filter((byte) => byte === 0).length).toBeLessThan(bytes.length / 2);
    }
  });

  test("what a container cannot hold is refused", () => {
    const wanted = { rung: "L6", set: TINY, container: "safetensors" } as const;
    expect(() => ladderCheckpoint({ ...wanted, type: "Q4_0" })).toThrow(/safetensors holds no Q/);
    const blueprint = familyBlueprint("olmoe", "F16", {});
    expect(() => virtualFiles(blueprint, { container: "safetensors", vocabularySize: 0 })).toThrow(/GGUF only/);
  });
});

describe("families", () => {
  const READ = ["mixtral", "mixtral-odd", "qwen3moe", "qwen2moe", "olmoe", "gpt-oss", "granitemoe", "glm4moe", "afmoe"];

  test.each(READ)("%s opens in Q4_0 and MXFP4, at sizes of its own", async (family) => {
    for (const type of ["Q4_0", "MXFP4"] as const) {
      const blueprint = familyBlueprint(family, type, { layers: 4, vocab: 1000, experts: 24 });
      const checkpoint = await open(virtualFiles(blueprint, { container: "gguf", vocabularySize: 1000 }));
      const { spec, names } = describeModel(checkpoint);
      const map = createWeightMap(checkpoint, spec, names);
      expect([spec.layers.length, spec.vocabSize]).toEqual([4, 1000]);
      const packed = await map.readExpert(3, 23);
      expect(packed).toHaveLength(map.expertLayout(3).words * 4);
      expect(map.expertLayout(3).gate?.dtype).toBe(type);
      expect(packed.filter((byte) => byte === 0).length).toBeLessThan(packed.length / 4);
    }
  });

  test("unknown names are refused", () => {
    expect(FAMILIES).toEqual(expect.arrayContaining(READ));
    expect(() => familyBlueprint("gpt-9", "F16", {})).toThrow(/no family gpt-9/);
    expect(() => familyBlueprint("olmoe", "F16", { wings: 2 })).toThrow(/no size "wings"/);
  });
});

describe("the vocabulary", () => {
  test.each(["gguf", "safetensors"] as const)("turns text into ids and back (%s)", async (container) => {
    const set = { ...TINY, vocab: 20_000 };
    const made = virtualFileSet(ladderCheckpoint({ rung: "L6", type: "F16", container, set }));
    const tokenizer = await loadTokenizer(made, await openCheckpoint(made));
    const text = "The tides were in on the second of May 2031,\n\tand nobody – not even Åsa – minded.";
    const ids = tokenizer!.encode(text);
    expect(tokenizer!.decode(ids)).toBe(text);
    expect(ids.length).toBeLessThan(text.length * 0.8);
    expect(tokenizer!.vocabSize).toBe(20_000);
    expect(tokenizer!.encode("<|endoftext|>", { allowSpecial: true })).toEqual([19_980]);
  });

  test("of o200k_base's size: every token once, every merge of two earlier tokens, special ids in place", () => {
    const { tokens, types, merges, endOfText } = makeVocabulary(200_019);
    expect([tokens.length, types.length, new Set(tokens).size]).toEqual([200_019, 200_019, 200_019]);
    expect([endOfText, tokens[199_999], tokens[200_018]]).toEqual([199_999, "<|endoftext|>", "<|endofprompt|>"]);
    const ids = new Map(tokens.map((token, id) => [token, id]));
    const wrong = merges.filter((merge, i) => {
      const [left = "", right = ""] = merge.split(" ");
      const id = 256 + i;
      return tokens[id] !== left + right || !(ids.get(left)! < id && ids.get(right)! < id);
    });
    expect([merges.length, wrong]).toEqual([199_999 - 256, []]);
    expect(() => makeVocabulary(275)).toThrow(RangeError);
  });

  test("a model may come without one", async () => {
    const made = virtualFileSet(
      ladderCheckpoint({ rung: "L6", type: "F16", container: "gguf", set: TINY, vocabulary: false }),
    );
    expect(await loadTokenizer(made, await openCheckpoint(made))).toBeUndefined();
  });
});
