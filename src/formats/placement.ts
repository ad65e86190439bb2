/** Whether tensors share bytes, or leave some out: a table that does was forged or damaged, and means another model. */
import { FormatError } from "../errors.ts";
import type { TensorInfo } from "./checkpoint.ts";

type Placed = Pick<TensorInfo, "name" | "offset" | "byteLength">;

/**
 * Checks the tensors of one shard.
 * @param label what messages call the shard.
 * @throws FormatError naming two tensors that overlap.
 */
export function refuseOverlaps(label: string, tensors: Iterable<Placed>): void {
  const sorted = inOrder(tensors);
  sorted.forEach((tensor, i) => {
    const before = sorted[i - 1];
    if (!before || before.offset + before.byteLength <= tensor.offset) return;
    throw new FormatError(
      `${label}: expected tensors to lie side by side, got "${before.name}" up to byte ` +
        `${before.offset + before.byteLength} and "${tensor.name}" from byte ${tensor.offset}`,
    );
  });
}

/**
 * As safetensors asks, that every byte of the data belongs to a tensor; of a name that stands twice JSON keeps the last,
 * and the bytes of the first are then nobody's. Overlaps must have been refused before.
 * @throws FormatError saying where bytes are left over.
 */
export function refuseHoles(label: string, tensors: Iterable<Placed>, start: number, end: number): void {
  let at = start;
  for (const { offset, byteLength, name } of inOrder(tensors)) {
    if (offset !== at) throw new FormatError(`${label}: bytes ${at} to ${offset}, before "${name}", are of no tensor`);
    at = offset + byteLength;
  }
  if (at !== end) throw new FormatError(`${label}: bytes ${at} to ${end}, at the end, are of no tensor`);
}

/** Those that have bytes, by place. */
function inOrder(tensors: Iterable<Placed>): Placed[] {
  return [...tensors].filter(({ byteLength }) => byteLength > 0).sort((a, b) => a.offset - b.offset);
}
