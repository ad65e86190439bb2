/** Reads blocks of the data file, those that follow each other there at once. */
import type { BlockEntry } from "./block-index.ts";
import type { StoreFile } from "./block-store.ts";

/** Bytes of every block, unchecked, `undefined` where there is no block. What the file does not have is zero. */
export function readRuns(
  data: StoreFile,
  blocks: readonly (BlockEntry | undefined)[],
): (Uint8Array<ArrayBuffer> | undefined)[] {
  const result: (Uint8Array<ArrayBuffer> | undefined)[] = blocks.map(() => undefined);
  for (let first = 0; first < blocks.length; ) {
    const run = runFrom(blocks, first);
    const start = run[0]?.place ?? 0;
    const bytes = new Uint8Array(run.reduce((sum, { length }) => sum + length, 0));
    if (run.length > 0) data.read(start, bytes);
    run.forEach(({ place, length }, i) => {
      result[first + i] = bytes.subarray(place - start, place - start + length);
    });
    first += Math.max(1, run.length);
  }
  return result;
}

/** The blocks from number `first` on that follow each other in the data file. */
function runFrom(blocks: readonly (BlockEntry | undefined)[], first: number): BlockEntry[] {
  const run: BlockEntry[] = [];
  let end = blocks[first]?.place;
  for (let block = blocks[first]; block && block.place === end; block = blocks[first + run.length]) {
    run.push(block);
    end += block.length;
  }
  return run;
}
