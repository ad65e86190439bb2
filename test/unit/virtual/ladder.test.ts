/** The ladder's rungs have the sizes that were reported, and the largest can be read to its far end. */
import { describe, expect, test, vi } from "vitest";
import { describeCheckpoint } from "../../../src/engine/describe.ts";
import { openCheckpoint } from "../../../src/formats/open-checkpoint.ts";
import { describeModel } from "../../../src/models/registry.ts";
import { buildExpertTable } from "../../../src/weights/expert-table.ts";
import { unpackRows } from "../../../src/weights/repack.ts";
import { createWeightMap } from "../../../src/weights/weight-map.ts";
import { expectEqualBytes } from "../../fixtures/equal-bytes.ts";
import { ladderCheckpoint } from "../../virtual/checkpoint.ts";
import { RUNGS, type Rung } from "../../virtual/ladder.ts";
import { virtualFileSet } from "../../virtual/source.ts";
import { TensorBytes } from "../../virtual/tensor-bytes.ts";

vi.setConfig({ testTimeout: 60_000 }); // a second's work for one machine alone is many for one that is shared

/** Reported active and total parameters, in 10^9, with the digits given; L6 is below the reported ladder. */
const REPORTED: Readonly<Record<Rung, readonly [active: string, total: string]>> = {
  L6: ["0.126", "0.572"],
  L12: ["0.365", "3.9"],
  L18: ["0.76", "13"],
  L24: ["1.5", "30"],
  L30: ["2.6", "58"],
  L36: ["4.0", "100"],
  L42: ["6.1", "159"],
  L66: ["21.7", "615"],
  L78: ["35.6", "1015"],
  "MAI-Base-1": ["34.7", "962"],
};

async function opened(rung: Rung, vocabulary = false) {
  let bytesRead = 0;
  const hooks = {
    onBytes: (_: string, bytes: number) => {
      bytesRead += bytes;
    },
  };
  const files = virtualFileSet(ladderCheckpoint({ rung, type: "Q4_0", container: "gguf", vocabulary }), { hooks });
  const checkpoint = await openCheckpoint(files);
  const { spec, names } = describeModel(checkpoint);
  return { checkpoint, spec, names, map: createWeightMap(checkpoint, spec, names), bytesRead: () => bytesRead };
}

test.each(RUNGS)("%s has the reported number of parameters", async (rung) => {
  const { checkpoint, spec, map } = await opened(rung);
  const { parameters } = describeCheckpoint(checkpoint, spec, map, { maxBindingBytes: 2 ** 30 });
  const rounded = (count: number, as: string) => (count / 1e9).toFixed(as.split(".")[1]?.length ?? 0);
  const [active, total] = REPORTED[rung];
  expect([rounded(parameters.active, active), rounded(parameters.total, total)]).toEqual([active, total]);
});

test("MAI-Base-1 is what the report says of it", async () => {
  const { spec } = await opened("MAI-Base-1");
  expect([spec.hiddenSize, spec.vocabSize, spec.layers.length, spec.contextLength]).toEqual([
    6656, 200_019, 78, 262_144,
  ]);
  const [local, moe, global] = [spec.layers[0]!, spec.layers[1]!.mlp, spec.layers[77]!.attention];
  expect(local.attention).toMatchObject({ numHeads: 80, numKvHeads: 8, headDim: 128, window: 512, ropeTheta: 10_000 });
  expect(local.mlp).toEqual({ kind: "dense", innerSize: 6656 });
  expect(moe).toMatchObject({ numExperts: 512, topK: 8, latentSize: 3072, innerSize: 5120 });
  expect(global).toMatchObject({ window: null, ropeTheta: null });
  expect(spec.layers.filter(({ attention }) => attention!.window === null)).toHaveLength(13);
});

describe("L78 in Q4_0, half a terabyte", async () => {
  const { checkpoint, spec, names, map, bytesRead } = await opened("L78", true);
  const size = await checkpoint.shards[0]!.size();

  test("opens from its header alone", () => {
    expect(size).toBeGreaterThan(2 ** 39);
    expect(bytesRead()).toBeLessThan(16 * 2 ** 20);
  });

  test("every expert has its own bytes, inside the file and past 2^39", () => {
    const ranges: [start: number, end: number][] = [];
    for (const [layer, { mlp }] of spec.layers.entries()) {
      if (mlp?.kind !== "moe") continue;
      const table = buildExpertTable(names, layer, mlp, spec.hiddenSize, (name) => checkpoint.tensors.get(name))!;
      for (let expert = 0; expert < mlp.numExperts; expert++) {
        for (const { offset, length } of table.rangesOf(expert)) ranges.push([offset, offset + length]);
      }
    }
    expect(ranges).toHaveLength(39 * 512 * 3);
    ranges.sort(([a], [b]) => a - b);
    const overlaps = ranges.filter(([start], i) => i > 0 && start < ranges[i - 1]![1]);
    expect(overlaps).toEqual([]);
    expect(ranges.at(-1)![1]).toBeLessThanOrEqual(size);
    expect(ranges.at(-1)![0]).toBeGreaterThan(2 ** 39);
  });

  test("an expert at the far end costs its own bytes, and the repack keeps them", async () => {
    const before = bytesRead();
    const packed = await map.readExpert(77, 511);
    const layout = map.expertLayout(77);
    const stored = { gate: [4992, 3328], up: [4992, 3328], down: [3328, 4992] } as const;
    const expertBytes = (4992 * 3328 * 18) / 32;
    expect(bytesRead() - before).toBe(3 * expertBytes);
    for (const matrix of ["gate", "up", "down"] as const) {
      const [rows, cols] = stored[matrix];
      const at = { gate: layout.gateWord, up: layout.upWord, down: layout.downWord }[matrix] * 4;
      const values = { key: `77.experts.${matrix}`, deviation: 1 / Math.sqrt(cols), mean: 0 };
      const expected = new Uint8Array(expertBytes);
      const tensor = { name: matrix, dtype: "Q4_0", shape: [512, rows, cols], values, firstElement: 0 } as const;
      new TensorBytes(1).fill(tensor, 511 * expertBytes, expected);
      const part = packed.subarray(at, at + layout[matrix]!.words * 4);
      expectEqualBytes(unpackRows("Q4_0", part, rows, cols), expected);
    }
  });
});
