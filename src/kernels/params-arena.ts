/** Buffers for the kernels' `Params`, packed one behind the other. */
import type { Gpu } from "../gpu/device.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import type { BufferRange } from "../gpu/pipelines.ts";
import { UNIFORM_USAGE } from "../gpu/usage.ts";

const PARAMS_ALIGNMENT = 256; // default minUniformBufferOffsetAlignment
const ARENA_BYTES = 64 * 1024;

export class ParamsArena {
  readonly #gpu: Gpu;
  #arenas: LedgerBuffer[] = [];
  #used = ARENA_BYTES;
  /** By content: layers of one shape share them, and binding again after a resize costs nothing. */
  readonly #placed = new Map<string, BufferRange>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Where `bytes` are on the GPU; equal bytes have one place. */
  place(bytes: ArrayBuffer): BufferRange {
    const content = new Uint8Array(bytes).join();
    const known = this.#placed.get(content);
    if (known) return known;
    let arena = this.#arenas.at(-1);
    if (!arena || this.#used + bytes.byteLength > ARENA_BYTES) {
      arena = this.#gpu.ledger.create("tables", "params", ARENA_BYTES, UNIFORM_USAGE);
      this.#arenas.push(arena);
      this.#used = 0;
    }
    const range = { buffer: arena, offset: this.#used, bytes: bytes.byteLength };
    this.#gpu.queue.write(range.buffer, range.offset, bytes);
    this.#used += PARAMS_ALIGNMENT;
    this.#placed.set(content, range);
    return range;
  }

  /** Forgets and frees all. */
  reset(): void {
    for (const arena of this.#arenas.splice(0)) arena.destroy();
    this.#placed.clear();
    this.#used = ARENA_BYTES;
  }
}
