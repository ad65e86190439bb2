/** Quantised folders: weights and their scales become one entry of the table, or are refused by name. */
import { describe, expect, test } from "vitest";
import { FormatError, UnsupportedError } from "../../../src/errors.ts";
import type { Checkpoint } from "../../../src/formats/checkpoint.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { memoryFileSet } from "../../fixtures/files.ts";

type Entry = readonly [dtype: string, shape: readonly number[]];
const BYTES: Readonly<Record<string, number>> = { F32: 4, BF16: 2, F16: 2, F8_E4M3: 1, U8: 1 };

/** A folder whose tensors hold nothing but zeros. */
function open(entries: Readonly<Record<string, Entry>>, config: object = {}): Promise<Checkpoint> {
  let end = 0;
  const header = Object.entries(entries).map(([name, [dtype, shape]]) => {
    const bytes = shape.reduce((a, b) => a * b, BYTES[dtype]!);
    end += bytes;
    return [name, { dtype, shape, data_offsets: [end - bytes, end] }];
  });
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const file = new Uint8Array(8 + text.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  return openCheckpoint(memoryFileSet({ "config.json": JSON.stringify(config), "model.safetensors": file }));
}

const tableOf = ({ tensors }: Checkpoint) =>
  [...tensors.values()].map(({ name, dtype, shape, scales }) => [name, dtype, shape, scales?.dtype, scales?.shape]);

describe("FP8", () => {
  test.each([
    ["tiles", [130, 257], "a.weight_scale_inv", "F32", [2, 3], "F8_E4M3", [1, 2, 3]],
    ["tiles under the other name", [130, 257], "a.weight_scale", "BF16", [2, 3], "F8_E4M3", [1, 2, 3]],
    ["rows", [130, 257], "a.weight_scale", "BF16", [130, 1], "F8_E4M3_ROW", [1, 130, 1]],
    ["rows as a vector", [130, 257], "a.weight_scale", "F32", [130], "F8_E4M3_ROW", [1, 130, 1]],
    ["one", [130, 257], "a.weight_scale", "F32", [1], "F8_E4M3", [1, 1, 1]],
    ["one without a shape", [130, 257], "a.weight_scale", "F16", [], "F8_E4M3", [1, 1, 1]],
    ["a small matrix of one tile", [5, 6], "a.weight_scale_inv", "F32", [1, 1], "F8_E4M3", [1, 1, 1]],
    ["a stack, tiles", [7, 130, 257], "a.weight_scale_inv", "F32", [7, 2, 3], "F8_E4M3", [7, 2, 3]],
    ["a stack, one each", [7, 130, 257], "a.weight_scale", "F32", [7, 1, 1], "F8_E4M3", [7, 1, 1]],
  ] as const)("%s", async (_, shape, scaleName, scaleType, scaleShape, dtype, table) => {
    const checkpoint = await open({
      "a.weight": ["F8_E4M3", shape],
      [scaleName]: [scaleType, scaleShape],
      "a.input_scale": ["F32", []],
      "b.weight": ["F32", [3]],
    });
    expect(tableOf(checkpoint)).toEqual([
      ["a.weight", dtype, shape, scaleType, table],
      ["b.weight", "F32", [3], undefined, undefined],
    ]);
    expect(checkpoint.tensors.get("a.weight")?.scales?.name).toBe(scaleName);
  });

  test("a parameter without .weight", async () => {
    const checkpoint = await open({ "e.up": ["F8_E4M3", [2, 4, 4]], "e.up_scale_inv": ["F32", [2, 1, 1]] });
    expect(tableOf(checkpoint)).toEqual([["e.up", "F8_E4M3", [2, 4, 4], "F32", [2, 1, 1]]]);
  });

  test("scales come before their weights, and of nothing stay what they are", async () => {
    const checkpoint = await open({
      "a.weight_scale_inv": ["F32", [1, 1]],
      "a.weight": ["F8_E4M3", [4, 4]],
      "b.weight_scale": ["F32", [2]],
    });
    expect([...checkpoint.tensors.keys()]).toEqual(["a.weight", "b.weight_scale"]);
  });

  test.each([
    [
      "no scales",
      {},
      FormatError,
      /"a.weight" is F8_E4M3; expected .*"a.weight_scale_inv" or "a.weight_scale" .*neither/,
    ],
    ["FP8 scales", { "a.weight_scale": ["F8_E4M3", [1]] }, FormatError, /got "a.weight_scale" as F8_E4M3/],
    [
      "tiles of another size",
      { "a.weight_scale_inv": ["F32", [3, 5]] },
      FormatError,
      /"a.weight_scale_inv": expected \[2, 3\] \(for tiles of 128 x 128\) or \[130, 1\] \(for rows\) .*got \[3, 5\]/,
    ],
  ] as const)("%s", async (_, more, type, message) => {
    const opened = open({ "a.weight": ["F8_E4M3", [130, 257]], ...(more as Record<string, Entry>) });
    await expect(opened).rejects.toThrow(message);
    await expect(opened).rejects.toBeInstanceOf(type);
  });

  test("a vector", async () => {
    const opened = open({ "a.weight": ["F8_E4M3", [130]], "a.weight_scale": ["F32", [1]] });
    await expect(opened).rejects.toThrow(/"a.weight": a vector as F8_E4M3 is not supported/);
    await expect(opened).rejects.toBeInstanceOf(UnsupportedError);
  });
});

describe("MXFP4", () => {
  test("codes and scales are one tensor of as many columns as there are codes", async () => {
    const checkpoint = await open({ x_blocks: ["U8", [5, 6, 3, 16]], x_scales: ["U8", [5, 6, 3]] });
    expect(tableOf(checkpoint)).toEqual([["x", "MXFP4", [5, 6, 96], "E8M0", [5, 6, 3]]]);
    expect(checkpoint.tensors.get("x")?.byteLength).toBe(5 * 6 * 3 * 16);
  });

  test.each([
    [{ x_blocks: ["U8", [5, 6, 3, 16]] }, FormatError, /expected "x_scales" U8 \[5, 6, 3\], got nothing/],
    [{ x_blocks: ["U8", [5, 6, 3, 16]], x_scales: ["U8", [5, 6, 2]] }, FormatError, /got U8 \[5, 6, 2\]/],
    [{ x_blocks: ["U8", [5, 6, 3, 16]], x_scales: ["F32", [5, 6, 3]] }, FormatError, /got F32 \[5, 6, 3\]/],
    [
      { x_blocks: ["U8", [5, 6, 3, 8]], x_scales: ["U8", [5, 6, 3]] },
      FormatError,
      /expected \[..., 16\], got \[5, 6, 3, 8\]/,
    ],
    [{ x_scales: ["U8", [5]] }, UnsupportedError, /"x_scales" is stored as U8; supported are/],
    [{ x: ["U8", [5]] }, UnsupportedError, /"x" is stored as U8; supported are/],
  ] as const)("%o", async (entries, type, message) => {
    const opened = open(entries as Record<string, Entry>);
    await expect(opened).rejects.toThrow(message);
    await expect(opened).rejects.toBeInstanceOf(type);
  });
});

test.each([
  [
    { quant_method: "gptq" },
    /"quantization_config.quant_method" is "gptq"; supported: "fp8", "compressed-tensors", "mxfp4"/,
  ],
  [{}, /quant_method" is undefined/],
  [
    { quant_method: "fp8", weight_block_size: [1, 128] },
    /"quantization_config.weight_block_size" is \[1,128\]; supported/,
  ],
])("%o is refused", async (quantization_config, message) => {
  const opened = open({ a: ["F32", [1]] }, { quantization_config });
  await expect(opened).rejects.toThrow(message);
  await expect(opened).rejects.toBeInstanceOf(UnsupportedError);
});

test("no way of quantising at all", async () => {
  for (const quantization_config of [null, undefined]) {
    expect((await open({ a: ["F32", [1]] }, { quantization_config })).tensors.size).toBe(1);
  }
});
