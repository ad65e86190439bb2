/** Hugging Face folders as Octavo reads them, and the refusals. */
import { describe, expect, test } from "vitest";
import { FormatError, UnsupportedError } from "../../../src/errors.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { MAI_FOLDERS, memoryFileSet, openMai } from "../../fixtures/files.ts";
import type { FixtureTensor } from "../../fixtures/make-gguf.ts";
import { joinSafetensors, makeSafetensors } from "../../fixtures/make-safetensors.ts";

const tensor = (name: string, dtype: "F32" | "F16" | "BF16", shape: number[], fill: number): FixtureTensor => ({
  name,
  dtype,
  shape,
  bytes: new Uint8Array(shape.reduce((a, b) => a * b, dtype === "F32" ? 4 : 2)).fill(fill),
});
const TWO = [tensor("a", "F32", [2, 3], 1), tensor("b.c", "BF16", [5], 2)];
const CONFIG = { "config.json": "{}" };

const open = (files: Record<string, Uint8Array<ArrayBuffer> | string>) =>
  openCheckpoint(memoryFileSet({ ...CONFIG, ...files }));
const openForged = (json: string, data = 64) =>
  open({ "model.safetensors": joinSafetensors(json, [new Uint8Array(data)]) });

test("one file", async () => {
  const checkpoint = await open({ "model.safetensors": makeSafetensors([...TWO, tensor("s", "F16", [], 3)]) });
  expect(checkpoint.container).toBe("safetensors");
  expect([...checkpoint.tensors.values()].map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
    ["a", "F32", [2, 3]],
    ["b.c", "BF16", [5]],
    ["s", "F16", []],
  ]);
  for (const [name, fill] of [
    ["a", 1],
    ["b.c", 2],
    ["s", 3],
  ] as const) {
    const { offset, byteLength } = checkpoint.tensors.get(name)!;
    expect(await checkpoint.shards[0]!.read(offset, byteLength)).toEqual(new Uint8Array(byteLength).fill(fill));
  }
});

test.each(MAI_FOLDERS)("the fixture %s", async (folder) => {
  const checkpoint = await openMai(folder);
  expect(checkpoint.config.model_type).toBe("mai");
  expect(checkpoint.tensors.size).toBeGreaterThan(100);
});

describe("shards", () => {
  const index = (map: unknown): string => JSON.stringify({ metadata: {}, weight_map: map });
  const shards = {
    "x-1.safetensors": makeSafetensors([TWO[0]!]),
    "x-2.safetensors": makeSafetensors([TWO[1]!]),
  };
  const openIndex = (map: unknown, files = {}) =>
    open({ "model.safetensors.index.json": index(map), ...shards, ...files });

  test("tensors of every shard", async () => {
    const { tensors, shards: sources } = await openIndex({ a: "x-1.safetensors", "b.c": "x-2.safetensors" });
    expect([...tensors.values()].map(({ name, shard }) => [name, sources[shard]?.label])).toEqual([
      ["a", "x-1.safetensors"],
      ["b.c", "x-2.safetensors"],
    ]);
  });

  test.each([
    ["a missing shard", { a: "x-3.safetensors" }, /shard "x-3.safetensors" is listed.*but missing/],
    ["path traversal", { a: "../x-1.safetensors" }, /of the same folder for "a", got "..\/x-1.safetensors"/],
    ["an address", { a: "https://x/y.safetensors" }, /of the same folder for "a"/],
    ["another kind of file", { a: "config.json" }, /expected a .safetensors file/],
    ["a number", { a: 5 }, /expected a .safetensors file.*got 5/],
    ["a tensor in the wrong shard", { a: "x-2.safetensors", "b.c": "x-1.safetensors" }, /says that "a" is in x-2/],
    ["no map", undefined, /expected an object "weight_map", got undefined/],
  ])("%s", async (_, map, message) => {
    await expect(openIndex(map)).rejects.toThrow(message);
    await expect(openIndex(map)).rejects.toBeInstanceOf(FormatError);
  });

  test("a tensor in two shards", async () => {
    const twice = { "x-2.safetensors": makeSafetensors([...TWO]) };
    await expect(openIndex({ a: "x-1.safetensors", "b.c": "x-2.safetensors" }, twice)).rejects.toThrow(
      /got "a" in both/,
    );
  });
});

describe("files that are not there or not what they say", () => {
  test.each([
    [
      "no config.json",
      { "model.safetensors": makeSafetensors(TWO) },
      /no config.json; expected the address of a .gguf/,
    ],
    ["config.json is a page", { "config.json": "<html>", "model.safetensors": "" }, /config.json: expected JSON/],
    [
      "config.json is an array",
      { "config.json": "[]", "model.safetensors": "" },
      /expected a JSON object, got an array/,
    ],
    ["no weights", { "config.json": "{}" }, /neither model.safetensors nor model.safetensors.index.json/],
  ])("%s", async (_, files, message) => {
    const failure = openCheckpoint(memoryFileSet(files));
    await expect(failure).rejects.toThrow(message);
    await expect(failure).rejects.toBeInstanceOf(FormatError);
  });
});

describe("forged headers", () => {
  const entry = (fields: object): string =>
    JSON.stringify({ t: { dtype: "F32", shape: [4], data_offsets: [0, 16], ...fields } });
  test.each([
    ["no JSON", "nonsense", /byte 8: expected JSON/],
    ["an array", "[]", /expected a JSON object, got an array/],
    ["an entry that is no object", '{"t": 5}', /tensor "t": expected an object, got 5/],
    ["no dtype", entry({ dtype: undefined }), /expected a dtype/],
    ["a negative size", entry({ shape: [-4] }), /expected a shape.*got \[-4\]/],
    ["a fraction", entry({ shape: [0.5] }), /expected a shape/],
    ["a huge shape", entry({ shape: [2 ** 40, 2 ** 40] }), /fewer than 2\^53/],
    ["many dimensions", entry({ shape: Array(9).fill(1) }), /at most 8 natural numbers/],
    ["offsets backwards", entry({ data_offsets: [16, 0] }), /data_offsets \[begin, end\], begin not after end/],
    ["one offset", entry({ data_offsets: [16] }), /data_offsets \[begin, end\]/],
    ["offsets of another length", entry({ data_offsets: [0, 12] }), /expected 16 bytes for F32 \[4\], got "12 by/],
    ["past the end", entry({ data_offsets: [56, 72] }), /inside the file, got "a file of/],
  ])("%s", async (_, json, message) => {
    await expect(openForged(json)).rejects.toThrow(message);
    await expect(openForged(json)).rejects.toBeInstanceOf(FormatError);
  });

  test.each(["I64", "F8_E5M2", "BOOL", "Q8_0"])("storage type %s", async (dtype) => {
    await expect(openForged(entry({ dtype }))).rejects.toThrow(
      new RegExp(`"t" is stored as ${dtype}; supported are F32, F16, BF16`),
    );
    await expect(openForged(entry({ dtype }))).rejects.toBeInstanceOf(UnsupportedError);
  });

  test("a header length beyond the file", async () => {
    for (const length of [2n ** 64n - 1n, 1000n, 100_000_001n]) {
      const file = makeSafetensors(TWO);
      new DataView(file.buffer).setBigUint64(0, length, true);
      await expect(open({ "model.safetensors": file })).rejects.toThrow(/byte 0: expected a header of at most/);
    }
    await expect(open({ "model.safetensors": new Uint8Array(7) })).rejects.toThrow(/got 7 bytes in all/);
  });

  test("names that are special to JavaScript stay names", async () => {
    const json = '{"__proto__": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}';
    expect([...(await openForged(json, 4)).tensors.keys()]).toEqual(["__proto__"]);
  });
});
