/** Which expert of one layer is in which slot. No bytes, no GPU. */
export const ABSENT = 0xffff_ffff;

export class SlotTable {
  readonly numSlots: number;
  /** Slot of every expert, or ABSENT: this layer's row of the residency table. */
  readonly slots: Uint32Array<ArrayBuffer>;
  readonly #free: number[] = [];
  readonly #resident = new Set<number>();

  constructor(numExperts: number, numSlots: number) {
    this.numSlots = numSlots;
    this.slots = new Uint32Array(numExperts).fill(ABSENT);
    for (let slot = numSlots - 1; slot >= 0; slot--) this.#free.push(slot);
  }

  has(expert: number): boolean {
    return this.#resident.has(expert);
  }

  /** Experts now in slots, oldest arrival first. */
  get resident(): ReadonlySet<number> {
    return this.#resident;
  }

  /** A slot nobody has, or `undefined`. It is taken from then on. */
  takeFree(): number | undefined {
    return this.#free.pop();
  }

  /** Takes `expert` out and gives its slot. */
  evict(expert: number): number {
    const slot = this.slots[expert];
    if (slot === undefined || !this.#resident.delete(expert)) throw new RangeError(`expert ${expert} is not resident`);
    this.slots[expert] = ABSENT;
    return slot;
  }

  /** Puts `expert` into `slot`, which is free or was just taken from another. */
  place(expert: number, slot: number): void {
    this.slots[expert] = slot;
    this.#resident.add(expert);
  }
}
