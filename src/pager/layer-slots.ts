/**
 * The slots of one MoE layer: which expert is in which, on the host and in the layer's row of the residency table, and who
 * gives up a slot. What is wanted and when it is read is the pager's business.
 */
import type { Gpu } from "../gpu/device.ts";
import type { BufferRange } from "../gpu/pipelines.ts";
import type { EvictionPolicy } from "./policy.ts";
import { type SlabGeometry, Slabs } from "./slabs.ts";
import { ABSENT, SlotTable } from "./slot-table.ts";

/** What slots need to know of their layer. */
export interface SlottedLayer {
  /** Index in the model. */
  readonly layer: number;
  readonly numExperts: number;
  readonly geometry: SlabGeometry;
  /** The bytes of an expert where no read is needed for them. */
  readonly atHand?: (expert: number) => Uint8Array<ArrayBuffer> | undefined;
}

/** How a step chose an expert: by how many of its tokens, and how many tokens before its end the last of them lies. */
export interface Use {
  readonly count: number;
  readonly back: number;
}

/** What an expert is put into a slot for, and whom it may not take that from. */
export interface Placing {
  readonly guess: boolean;
  /** Experts that are not to be evicted; each further set is tried when the one before leaves none. */
  readonly spare: readonly ReadonlySet<number>[];
  /** What the step in hand chose in the layer, or seems to choose. */
  readonly chosen: readonly number[];
}

/** What all layers count together. */
export interface SlotCounts {
  expertsFetched: number;
  expertBytesFetched: number;
  evictions: number;
  prefetchesUseful: number;
  prefetchesWasted: number;
}

/** What happened to one layer since the last `takeChanges`. */
export interface PagingChange {
  readonly fetched: number[];
  readonly evicted: number[];
}

export class LayerSlots {
  /** Tokens that chose each expert since the load. */
  readonly uses: Uint32Array<ArrayBuffer>;
  readonly #gpu: Gpu;
  readonly #spec: SlottedLayer;
  readonly #policy: EvictionPolicy;
  readonly #row: BufferRange;
  readonly #counts: SlotCounts;
  /** Fetched on a guess and not used yet. */
  readonly #guessed = new Set<number>();
  /** Experts whose slots went away under them: they come back with the next slots, or are evicted then. */
  readonly #displaced = new Set<number>();
  #table: SlotTable;
  #slabs: Slabs;
  #changes: PagingChange = { fetched: [], evicted: [] };

  /** @param row the layer's row in the residency table: [numExperts] u32. */
  constructor(
    gpu: Gpu,
    spec: SlottedLayer,
    policy: EvictionPolicy,
    row: BufferRange,
    counts: SlotCounts,
    slots: number,
  ) {
    this.#gpu = gpu;
    this.#spec = spec;
    this.#policy = policy;
    this.#row = row;
    this.#counts = counts;
    this.uses = new Uint32Array(spec.numExperts);
    this.#slabs = this.newSlabs(slots);
    this.#table = new SlotTable(spec.numExperts, this.#slabs.numSlots);
    this.#writeRow();
  }

  get count(): number {
    return this.#table.numSlots;
  }

  get slabs(): Slabs {
    return this.#slabs;
  }

  has(expert: number): boolean {
    return this.#table.has(expert);
  }

  /** Slot of a resident expert. @throws RangeError when it is not resident. */
  slotOf(expert: number): number {
    const slot = this.#table.slots[expert];
    if (slot === undefined || slot === ABSENT) throw new RangeError(`expert ${expert} is not resident`);
    return slot;
  }

  /** A flag for every expert. */
  get resident(): boolean[] {
    return Array.from(this.#table.slots, (slot) => slot !== ABSENT);
  }

  /** What was fetched and evicted since the last call. */
  takeChanges(): PagingChange {
    const changes = this.#changes;
    this.#changes = { fetched: [], evicted: [] };
    return changes;
  }

  /** The tokens up to `step` chose these experts. */
  touch(uses: ReadonlyMap<number, Use>, step: number): void {
    for (const [expert, { count, back }] of uses) {
      this.uses[expert] = (this.uses[expert] ?? 0) + count;
      this.#policy.touch(expert, step, count, back);
      if (this.#guessed.delete(expert)) this.#counts.prefetchesUseful += 1;
    }
  }

  /**
   * Puts an expert that is not resident into a slot: a free one, or that of the expert the policy gives up.
   * @returns false when there is no slot for it.
   */
  place(expert: number, bytes: Uint8Array<ArrayBuffer>, how: Placing, step: number): boolean {
    const { guess } = how;
    this.#counts.expertBytesFetched += bytes.byteLength;
    const slot = this.#table.takeFree() ?? this.#evictOne(how, step);
    if (slot === undefined) {
      if (guess) this.#counts.prefetchesWasted += 1;
      return false;
    }
    this.#write(expert, slot, bytes);
    this.#writeEntry(expert, slot);
    if (guess) this.#guessed.add(expert);
    this.#changes.fetched.push(expert);
    return true;
  }

  /** Whether `slots` slots would be another number than there are. */
  differ(slots: number): boolean {
    return this.#most(slots) !== this.#table.numSlots;
  }

  /** The slots go; what was in them is remembered until others come. */
  remove(): void {
    for (const expert of this.#table.resident) this.#displaced.add(expert);
    this.#slabs.destroy();
    this.#table = new SlotTable(this.#spec.numExperts, 0);
    this.#writeRow();
  }

  /** Memory for so many slots, as far as the layer's bindings hold them. */
  newSlabs(slots: number): Slabs {
    return new Slabs(this.#gpu.ledger, this.#spec.geometry, this.#most(slots), `layer ${this.#spec.layer}`);
  }

  /**
   * New slots where there are none. What lost its slot comes back, the worthiest as far as it is at hand and there is room.
   * @returns the bytes written.
   */
  refill(slabs: Slabs, step: number): number {
    const { atHand, numExperts } = this.#spec;
    this.#slabs = slabs;
    this.#table = new SlotTable(numExperts, slabs.numSlots);
    const back = new Set([...this.#displaced].filter((expert) => atHand?.(expert)));
    while (back.size > this.#table.numSlots) back.delete(this.#policy.victim([...back], step));
    let written = 0;
    for (const expert of this.#displaced) {
      const bytes = back.has(expert) ? atHand?.(expert) : undefined;
      const slot = bytes && this.#table.takeFree();
      if (bytes && slot !== undefined) {
        this.#write(expert, slot, bytes);
        written += bytes.byteLength;
      } else {
        this.#noteEviction(expert);
      }
    }
    this.#displaced.clear();
    this.#counts.expertBytesFetched += written;
    this.#writeRow();
    return written;
  }

  destroy(): void {
    this.#slabs.destroy();
  }

  #most(slots: number): number {
    return Math.min(slots, this.#spec.numExperts, this.#spec.geometry.maxSlots);
  }

  #evictOne({ spare, chosen }: Placing, step: number): number | undefined {
    const resident = [...this.#table.resident];
    const candidates = spare
      .map((set) => resident.filter((expert) => !set.has(expert)))
      .find(({ length }) => length > 0);
    if (!candidates) return undefined;
    const victim = this.#policy.victim(candidates, step, chosen);
    const slot = this.#table.evict(victim);
    this.#writeEntry(victim, ABSENT);
    this.#noteEviction(victim);
    return slot;
  }

  #noteEviction(expert: number): void {
    this.#counts.evictions += 1;
    if (this.#guessed.delete(expert)) this.#counts.prefetchesWasted += 1;
    this.#changes.evicted.push(expert);
  }

  #write(expert: number, slot: number, bytes: Uint8Array<ArrayBuffer>): void {
    const { buffer, offset } = this.#slabs.locate(slot);
    this.#gpu.queue.write(buffer, offset, bytes);
    this.#table.place(expert, slot);
    this.#counts.expertsFetched += 1;
  }

  #writeEntry(expert: number, slot: number): void {
    const { buffer, offset = 0 } = this.#row;
    this.#gpu.queue.write(buffer, offset + expert * 4, new Uint32Array([slot]));
  }

  #writeRow(): void {
    const { buffer, offset = 0 } = this.#row;
    this.#gpu.queue.write(buffer, offset, this.#table.slots);
  }
}
