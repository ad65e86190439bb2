/**
 * Layers that a spec leaves out. A hybrid model may hold state-space layers, which Octavo does not compute; one whose last
 * projection is all zeros adds nothing to the residual stream, so leaving it out is exact. Whether it is, its bytes say.
 */
import { UnsupportedError } from "../errors.ts";
import type { Checkpoint, TensorInfo } from "../formats/checkpoint.ts";
import { BLOCKS, storedBytes } from "../formats/dtype.ts";
import type { SkippedLayer, TensorNames } from "../models/family.ts";
import { matrixLayout } from "./layout.ts";
import { readRange } from "./ranges.ts";
import { dequantizeRows, repackRows } from "./repack.ts";

/** Elements that are read and expanded at once: 4 MiB of floats. */
const PIECE_ELEMENTS = 1 << 20;

/** A skipped layer and its last projection. */
export interface FoundSkipped extends SkippedLayer {
  readonly tensor: TensorInfo;
}

/** @throws UnsupportedError for a skipped layer without a last projection that could be checked. */
export function findSkipped(checkpoint: Checkpoint, { skipped = [] }: TensorNames): FoundSkipped[] {
  return skipped.map((layer) => {
    const tensor = checkpoint.tensors.get(layer.output);
    if (tensor?.shape.length !== 2) refuse(layer, "is missing or no matrix");
    const cols = tensor.shape[1] ?? 1;
    if (cols % BLOCKS[tensor.dtype].elements !== 0) refuse(layer, `has rows of ${cols} elements as ${tensor.dtype}`);
    return { ...layer, tensor };
  });
}

/** Reads the projections of `skipped`, a few megabytes at once. @throws UnsupportedError for one that is not all zeros. */
export async function checkSkipped(
  checkpoint: Checkpoint,
  skipped: readonly FoundSkipped[],
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const layer of skipped) {
    if (!(await isZero(checkpoint, layer.tensor, signal))) refuse(layer, "is not all zeros");
  }
}

/** Whether every stored number stands for zero; of types in blocks not all such bytes are zero. */
async function isZero(checkpoint: Checkpoint, tensor: TensorInfo, signal: AbortSignal | undefined): Promise<boolean> {
  const { dtype, shard, offset } = tensor;
  const [rows = 0, cols = 1] = tensor.shape;
  const rowBytes = storedBytes(dtype, cols);
  const perPiece = Math.max(1, Math.floor(PIECE_ELEMENTS / cols));
  for (let row = 0; row < rows; row += perPiece) {
    const count = Math.min(perPiece, rows - row);
    const range = { shard, offset: offset + row * rowBytes, length: count * rowBytes };
    const stored = await readRange(checkpoint.shards, range, signal);
    const values = dequantizeRows(matrixLayout(dtype, count, cols), repackRows(dtype, stored, count, cols));
    if (!values.every((value) => value === 0)) return false;
  }
  return true;
}

function refuse({ layer, kind, output }: SkippedLayer, what: string): never {
  throw new UnsupportedError(
    `Layer ${layer} is a ${kind} layer, and its output projection "${output}" ${what}. Supported are attention, dense ` +
      `and MoE layers, and ${kind} layers whose output projection is all zeros, because those add nothing.`,
  );
}
