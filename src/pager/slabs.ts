/** The slots of one layer as GPU buffers: slabs of at most one binding each, one, two or four of them. */
import { BudgetError } from "../errors.ts";
import type { Ledger, LedgerBuffer } from "../gpu/ledger.ts";
import { STORAGE_USAGE } from "../gpu/usage.ts";
import { ceilDiv } from "../util/math.ts";

const MAX_SLABS = 4; // storage bindings that the expert kernels have left under the default limit of eight

/** How slots of a layer are cut into slabs. It depends on model and device only, so no kernel changes with the budget. */
export interface SlabGeometry {
  readonly slotBytes: number;
  readonly numBindings: 1 | 2 | 4;
  /** Most slots that the bindings can hold. */
  readonly maxSlots: number;
}

/** @throws BudgetError when not even `topK` slots fit the bindings of this device. */
export function slabGeometry(
  slotBytes: number,
  numExperts: number,
  topK: number,
  maxBindingBytes: number,
): SlabGeometry {
  const perSlab = Math.floor(maxBindingBytes / slotBytes);
  const wanted = ceilDiv(numExperts, Math.max(1, perSlab));
  const numBindings = wanted <= 1 ? 1 : wanted <= 2 ? 2 : MAX_SLABS;
  const maxSlots = Math.min(numExperts, numBindings * perSlab);
  if (maxSlots < topK) {
    throw new BudgetError(
      `An expert takes ${slotBytes} bytes and ${topK} must be resident at once, but this device binds only ` +
        `${MAX_SLABS} slabs of ${maxBindingBytes} bytes. Use a device with larger storage bindings.`,
      { code: "bindings-too-small", details: { maxBindingBytes } },
    );
  }
  return { slotBytes, numBindings, maxSlots };
}

export class Slabs {
  readonly numSlots: number;
  readonly slotsPerSlab: number;
  readonly #buffers: LedgerBuffer[] = [];
  readonly #geometry: SlabGeometry;

  constructor(ledger: Ledger, geometry: SlabGeometry, numSlots: number, label: string) {
    this.numSlots = numSlots;
    this.#geometry = geometry;
    this.slotsPerSlab = ceilDiv(numSlots, geometry.numBindings);
    for (let first = 0; first < numSlots; first += this.slotsPerSlab) {
      const slots = Math.min(this.slotsPerSlab, numSlots - first);
      this.#buffers.push(
        ledger.create("slots", `${label} slots from ${first}`, slots * geometry.slotBytes, STORAGE_USAGE),
      );
    }
  }

  /** One buffer per binding; the last is repeated where there are fewer. */
  get bindings(): readonly LedgerBuffer[] {
    const last = this.#buffers.at(-1);
    if (!last) return [];
    return Array.from({ length: this.#geometry.numBindings }, (_, i) => this.#buffers[i] ?? last);
  }

  /** Buffer and byte offset of `slot`. */
  locate(slot: number): { buffer: LedgerBuffer; offset: number } {
    const buffer = this.#buffers[Math.floor(slot / this.slotsPerSlab)];
    if (!buffer) throw new RangeError(`slot ${slot} of ${this.numSlots}`);
    return { buffer, offset: (slot % this.slotsPerSlab) * this.#geometry.slotBytes };
  }

  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}
