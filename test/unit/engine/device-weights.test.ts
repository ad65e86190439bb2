/** Dense matrices in pieces: each within one binding, and none begins where its rows cannot be had alone. */
import { expect, test } from "vitest";
import { deviceWeightBytes, loadDeviceWeights } from "../../../src/engine/device-weights.ts";
import type { DType } from "../../../src/formats/dtype.ts";
import type { Gpu } from "../../../src/gpu/device.ts";
import { matrixLayout } from "../../../src/weights/layout.ts";
import type { WeightMap } from "../../../src/weights/weight-map.ts";
import { fakeGpu } from "../gpu/fake-gpu.ts";

const [ROWS, COLS] = [700, 60];

test.each([
  ["F32", 20_000, 44],
  ["Q4_0", 20_000, 350],
  ["F8_E4M3", 20_000, 256],
  ["F8_E4M3", 9000, 128],
  ["F8_E4M3_ROW", 9000, 88],
] as const)("%s in bindings of %i bytes: %i rows a piece", async (dtype: DType, maxBindingBytes, perPiece) => {
  const layout = matrixLayout(dtype, ROWS, dtype === "Q4_0" ? 64 : COLS);
  const reads: [number, number][] = [];
  const weights = {
    dense: [{ ref: "head", shape: [ROWS, layout.cols] }],
    matrix: () => layout,
    readMatrixRows: async (_: unknown, rowStart: number, rowCount: number) => {
      reads.push([rowStart, rowCount]);
      return new Uint8Array(matrixLayout(dtype, rowCount, layout.cols).words * 4);
    },
  } as unknown as WeightMap;
  const { gpu, ledger } = fakeGpu();
  const facts = { maxBindingBytes };
  let loaded = 0;
  const result = await loadDeviceWeights({ ...gpu, facts } as unknown as Gpu, weights, undefined, (bytes) => {
    loaded += bytes;
  });
  const starts = Array.from({ length: Math.ceil(ROWS / perPiece) }, (_, i) => i * perPiece);
  expect(reads).toEqual(starts.map((start) => [start, Math.min(perPiece, ROWS - start)]));
  const shards = result.shards("head");
  expect(shards.map(({ rowStart }) => rowStart)).toEqual(starts);
  expect(Math.max(...shards.map(({ buffer }) => buffer.bytes))).toBeLessThanOrEqual(maxBindingBytes);
  expect(loaded).toBe(deviceWeightBytes(weights, maxBindingBytes));
  ledger.destroyAll();
});
