/** From names to bytes: both containers give the same weights, and what does not fit is refused before any read. */
import { describe, expect, test } from "vitest";
import { FormatError, UnsupportedError, UsageError } from "../../../src/errors.ts";
import type { Checkpoint, TensorInfo } from "../../../src/formats/checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import type { ByteSource } from "../../../src/sources/byte-source.ts";
import { matrixLayout } from "../../../src/weights/layout.ts";
import { mergeTouching } from "../../../src/weights/ranges.ts";
import { dequantizeRows, repackRows } from "../../../src/weights/repack.ts";
import { createWeightMap, type WeightMap } from "../../../src/weights/weight-map.ts";
import { expectEqualBytes } from "../../fixtures/equal-bytes.ts";
import { MAI_FOLDERS, openGgufBytes, openMai, readRepositoryFile } from "../../fixtures/files.ts";
import { hfExpertName, maiGgufParts, maiGgufTwin } from "../../fixtures/mai-twin.ts";
import { makeGguf } from "../../fixtures/make-gguf.ts";

const STORED = {
  "base-f32": "F32",
  "odd-f32": "F32",
  "norm-topk-bf16": "BF16",
  "long-f16": "F16",
  "one-token-f32": "F32",
} as const;

function mapOf(checkpoint: Checkpoint): WeightMap {
  const { spec, names } = describeModel(checkpoint);
  return createWeightMap(checkpoint, spec, names);
}

/** The checkpoint with its reads written down. */
function recorded(checkpoint: Checkpoint): { checkpoint: Checkpoint; reads: [number, number][] } {
  const reads: [number, number][] = [];
  const shards = checkpoint.shards.map(
    (source): ByteSource => ({
      ...source,
      read: (offset, length, signal) => {
        reads.push([offset, length]);
        return source.read(offset, length, signal);
      },
    }),
  );
  return { checkpoint: { ...checkpoint, shards }, reads };
}

const base = await openMai("base-f32");

/** `base` with some tensors changed; `undefined` removes one. */
function changed(edits: Record<string, Partial<TensorInfo> | undefined>): Checkpoint {
  const tensors = new Map(base.tensors);
  for (const [name, edit] of Object.entries(edits)) {
    if (edit) tensors.set(name, { ...tensors.get(name)!, ...edit });
    else tensors.delete(name);
  }
  return { ...base, tensors };
}

describe("both containers", () => {
  test.each(MAI_FOLDERS)("%s and its GGUF twin give equal bytes", async (folder) => {
    const hf = await openMai(folder);
    const { spec } = describeModel(hf);
    const ours = mapOf(hf);
    const twin = mapOf(await openGgufBytes(await maiGgufTwin(hf, STORED[folder])));
    expect(twin.expertBytes).toBe(ours.expertBytes);
    for (const [layer, { mlp }] of spec.layers.entries()) {
      if (mlp?.kind !== "moe") continue;
      expect(twin.expertLayout(layer)).toEqual(ours.expertLayout(layer));
      for (let expert = 0; expert < mlp.numExperts; expert++) {
        const bytes = await ours.readExpert(layer, expert);
        expect(bytes.length).toBe(ours.expertLayout(layer).words * 4);
        expectEqualBytes(await twin.readExpert(layer, expert), bytes);
      }
    }
    for (const { ref, shape } of ours.dense) {
      const [rows, cols] = shape;
      if (cols === undefined) expect(await twin.readVector(ref)).toEqual(await ours.readVector(ref));
      // Routers are F32 in the twin, so numbers are compared, not bytes.
      else expectEqualBytes(await valuesOf(twin, ref, rows), await valuesOf(ours, ref, rows));
    }
  });

  const valuesOf = async (
    map: WeightMap,
    ref: Parameters<WeightMap["matrix"]>[0],
    rows: number,
  ): Promise<Float32Array> => dequantizeRows(map.matrix(ref), await map.readMatrixRows(ref, 0, rows));

  test("an expert's matrices of several storage types", async () => {
    // Rows of 24 are no whole Q8_0 blocks, so the twin stores down as F16 beside gate and up as Q8_0.
    const map = mapOf(await openGgufBytes(await maiGgufTwin(await openMai("norm-topk-bf16"), "Q8_0")));
    const layout = map.expertLayout(1);
    expect([layout.gate?.dtype, layout.up.dtype, layout.down.dtype]).toEqual(["Q8_0", "Q8_0", "F16"]);
    expect((await map.readExpert(1, 47)).length).toBe(layout.words * 4);
  });

  test("each matrix lies at its word offset", async () => {
    const map = mapOf(base);
    const layout = map.expertLayout(3);
    const packed = await map.readExpert(3, 5);
    for (const matrix of ["gate", "up", "down"] as const) {
      const { offset, byteLength } = base.tensors.get(hfExpertName(3, 5, matrix))!;
      const { dtype, rows, cols, words } = layout[matrix]!;
      const start = layout[`${matrix}Word`] * 4;
      const alone = repackRows(dtype, await base.shards[0]!.read(offset, byteLength), rows, cols);
      expect(packed.slice(start, start + words * 4)).toEqual(alone);
    }
  });
});

describe("reads", () => {
  test("building the map reads nothing; an expert is as few reads as its bytes allow", async () => {
    const { checkpoint, reads } = recorded(base);
    const map = mapOf(checkpoint);
    expect(reads).toEqual([]);
    await map.readExpert(1, 2);
    const total = reads.reduce((sum, [, length]) => sum + length, 0);
    expect(total).toBe(3 * 32 * 48 * 4);
    const offsets = (["gate", "up", "down"] as const).map((name) => base.tensors.get(hfExpertName(1, 2, name))!.offset);
    const adjacent = Math.max(...offsets) - Math.min(...offsets) === 2 * 32 * 48 * 4;
    expect(reads).toHaveLength(adjacent ? 1 : 3);
  });

  test("touching ranges merge, gaps and shards keep apart", () => {
    const range = (shard: number, offset: number, length: number) => ({ shard, offset, length });
    const groups = mergeTouching([
      range(0, 20, 10),
      range(0, 0, 10),
      range(1, 30, 5),
      range(0, 10, 10),
      range(0, 31, 1),
    ]);
    expect(groups).toEqual([
      { whole: range(0, 0, 30), members: [1, 3, 0] },
      { whole: range(0, 31, 1), members: [4] },
      { whole: range(1, 30, 5), members: [2] },
    ]);
  });

  test("a run of rows is a matrix of its own", async () => {
    const map = mapOf(await openMai("odd-f32"));
    const ref = { layer: 0, name: "o" } as const;
    const layout = map.matrix(ref);
    expect([layout.rows, layout.cols, layout.quadsPerRow]).toEqual([72, 60, 15]);
    const whole = dequantizeRows(layout, await map.readMatrixRows(ref, 0, 72));
    const some = await map.readMatrixRows(ref, 10, 3);
    expect(dequantizeRows(matrixLayout("F32", 3, 60), some)).toEqual(whole.slice(600, 780));
    expect(await map.readMatrixRows(ref, 72, 0)).toHaveLength(0);
  });

  test("abort", async () => {
    const map = mapOf(base);
    const aborted = { name: "AbortError" };
    await expect(map.readExpert(1, 0, AbortSignal.abort())).rejects.toMatchObject(aborted);
    await expect(map.readVector("outputNorm", AbortSignal.abort())).rejects.toMatchObject(aborted);
  });

  test.each<[string, (map: WeightMap) => unknown, RegExp]>([
    ["a vector as a matrix", (map) => map.matrix("outputNorm"), /outputNorm is a vector/],
    ["a matrix as a vector", (map) => map.readVector("embed"), /embed is a matrix/],
    ["rows past the end", (map) => map.readMatrixRows("embed", 299, 2), /embed has 300 rows; rows 299 to 301/],
    ["a tensor that the layer lacks", (map) => map.matrix({ layer: 0, name: "router" }), /no tensor layers.0.router/],
    ["experts of a dense layer", (map) => map.expertLayout(0), /Layer 0 has no experts/],
    ["an expert past the last", (map) => map.readExpert(1, 16), /Layer 1 has experts 0 to 15, not 16/],
  ])("%s is the caller's mistake", async (_, call, message) => {
    const attempt = (async () => call(mapOf(base)))();
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toBeInstanceOf(UsageError);
  });
});

describe("totals", () => {
  test("are those of what is read, tied embeddings once", async () => {
    for (const folder of MAI_FOLDERS) {
      const checkpoint = await openMai(folder);
      const { spec } = describeModel(checkpoint);
      const map = mapOf(checkpoint);
      let dense = 0;
      for (const {
        ref,
        shape: [rows, cols],
      } of map.dense) {
        dense +=
          cols === undefined ? (await map.readVector(ref)).byteLength : (await map.readMatrixRows(ref, 0, rows)).length;
      }
      expect(map.denseBytes).toBe(dense);
      let experts = 0;
      for (const [layer, { mlp }] of spec.layers.entries()) {
        if (mlp?.kind === "moe") experts += map.expertLayout(layer).words * 4 * mlp.numExperts;
      }
      expect(map.expertBytes).toBe(experts);
    }
  });

  test("the default model", async () => {
    const bytes = readRepositoryFile("demo/public/models/octavo-tales/octavo-tales-q8_0.gguf");
    const map = mapOf(await openGgufBytes(bytes));
    expect(map.expertBytes).toBe(3 * 64 * 3 * 128 * 192 * (34 / 32));
    expect(map.denseBytes + map.expertBytes).toBeLessThan(bytes.length);
  });
});

describe("embeddings", () => {
  test("tied: head is embed, whatever else the file has", () => {
    const map = mapOf(base);
    expect(map.matrix("head")).toEqual(map.matrix("embed"));
    expect(map.dense.some(({ ref }) => ref === "head")).toBe(false);
  });

  test("untied: head is a tensor of its own, in both containers", async () => {
    const untied = { ...base, config: { ...base.config, tie_word_embeddings: false } };
    expect(() => mapOf(untied)).toThrow(/expected tensors "lm_head.weight" \[300, 64\], got nothing/);
    const tensors = new Map(base.tensors);
    const embed = tensors.get("model.embed_tokens.weight")!;
    tensors.set("lm_head.weight", { ...embed, name: "lm_head.weight" });
    const map = mapOf({ ...untied, tensors });
    expect(map.denseBytes).toBe(mapOf(base).denseBytes + embed.byteLength);

    const parts = await maiGgufParts(base, "F32");
    const head = { ...parts.tensors.find(({ name }) => name === "token_embd.weight")!, name: "output.weight" };
    const twin = mapOf(await openGgufBytes(makeGguf({ ...parts, tensors: [...parts.tensors, head] })));
    expect(twin.dense.some(({ ref }) => ref === "head")).toBe(true);
    expect(await twin.readMatrixRows("head", 5, 2)).toEqual(await map.readMatrixRows("embed", 5, 2));
  });
});

describe("what does not fit is refused before any read", () => {
  test("missing and misshapen tensors, up to five named", () => {
    const missing = changed({
      "model.layers.2.input_layernorm.weight": undefined,
      "model.norm.weight": { shape: [65] },
    });
    expect(() => mapOf(missing)).toThrow(FormatError);
    expect(() => mapOf(missing)).toThrow(
      'expected tensors "model.norm.weight" [64], got [65]; "model.layers.2.input_layernorm.weight" [64], got nothing',
    );
    const many = { ...base, tensors: new Map([...base.tensors].filter(([name]) => !name.includes("self_attn"))) };
    expect(() => mapOf(many)).toThrow(/(got nothing; .*){4}got nothing; and more$/);
  });

  test("one missing expert", () => {
    const name = "model.layers.3.mlp.experts.7.up_proj.weight";
    expect(() => mapOf(changed({ [name]: undefined }))).toThrow(`"${name}" [48, 32], got nothing`);
    expect(() => mapOf(changed({ [name]: { shape: [32, 48] } }))).toThrow(`"${name}" [48, 32], got [32, 48]`);
  });

  test("experts of a layer that differ in storage type", () => {
    const odd = changed({ "model.layers.3.mlp.experts.7.up_proj.weight": { dtype: "F16" } });
    expect(() => mapOf(odd)).toThrow(UnsupportedError);
    expect(() => mapOf(odd)).toThrow(/experts.0.up_proj.weight" is F32, ".*experts.7.up_proj.weight" F16/);
  });

  test("blocks where they cannot be", () => {
    expect(() => mapOf(changed({ "model.norm.weight": { dtype: "Q8_0" } }))).toThrow(/a vector stored as Q8_0/);
    expect(() => mapOf(changed({ "model.norm.weight": { dtype: "MXFP4" } }))).toThrow(/a vector stored as MXFP4/);
    const wide = changed({ "model.embed_tokens.weight": { dtype: "Q6_K" } });
    expect(() => mapOf(wide)).toThrow(/rows of a multiple of 256 elements for Q6_K, got 64/);
    const narrow = changed({ "model.layers.1.mlp.experts.0.down_proj.weight": { dtype: "Q8_0" } });
    expect(() => mapOf(narrow)).toThrow(/rows of a multiple of 32 elements for Q8_0, got 48/);
  });
});
