/**
 * The RAM tier: expert records in slot layout that were read once and may be wanted again when their slot has gone to
 * another. It is inclusive: an expert in a slot may be held here too. Letting those leave first was measured by replay
 * of routing traces and lost (gpt-oss-20b, slots for 20 % and RAM for 25 % of the experts: 23 % hits for 40 %), since an
 * expert that has just lost its slot is the likeliest to be asked for. Records are plain buffers that nobody writes to.
 * One that leaves gives its memory back at once, if its readers said that they are done with it.
 */
import { Owners } from "../util/owners.ts";
import type { ReadExpert } from "./read-expert.ts";

/** Reads lose half their weight while so many times the held records were read. Flat from 4 to 64 in the same replay. */
const HALF_LIFE_TURNOVERS = 8;
/** Experts of a layer are numbered below this. */
const LAYER_STRIDE = 2 ** 20;

interface Held {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Decayed number of reads, and the read at which it was so. */
  uses: number;
  lastUse: number;
}

export interface RamCounts {
  /** Experts answered from here, and their bytes. */
  ramHits: number;
  ramBytes: number;
  /** Bytes held now. */
  ramHeldBytes: number;
}

export class RamTier {
  readonly counts: RamCounts = { ramHits: 0, ramBytes: 0, ramHeldBytes: 0 };
  readonly #below: ReadExpert;
  readonly #budgetBytes: number;
  readonly #held = new Map<number, Held>();
  readonly #owners = new Owners();
  #reads = 0;

  /**
   * @param below gives records that nobody else has.
   * @param budgetBytes most bytes held; 0 holds nothing and passes every read on to `below`.
   */
  constructor(below: ReadExpert, budgetBytes: number) {
    this.#below = below;
    this.#budgetBytes = budgetBytes;
  }

  /** The expert from here, else from below, then kept here. The reader may tell by `done` when it needs the bytes no more. */
  readonly read: ReadExpert = async (layer, expert, options) => {
    options.signal?.throwIfAborted();
    const key = layer * LAYER_STRIDE + expert;
    this.#reads += 1;
    const held = this.#held.get(key);
    if (held) {
      held.uses = this.#decayed(held) + 1;
      held.lastUse = this.#reads;
      this.counts.ramHits += 1;
      this.counts.ramBytes += held.bytes.byteLength;
      this.#owners.add(held.bytes);
      return held.bytes;
    }
    const bytes = await this.#below(layer, expert, options);
    this.#owners.add(bytes);
    this.#keep(key, bytes);
    return bytes;
  };

  /** A reader is done with what `read` gave it. Bytes that nobody has any more are empty from then on. */
  done(bytes: Uint8Array<ArrayBuffer>): void {
    this.#owners.done(bytes);
  }

  /** Which experts of `layer` are held, in no order. */
  heldOf(layer: number): number[] {
    return [...this.#held.keys()]
      .filter((key) => Math.floor(key / LAYER_STRIDE) === layer)
      .map((key) => key % LAYER_STRIDE);
  }

  /** Whether the expert would be answered from here. */
  holds(layer: number, expert: number): boolean {
    return this.#held.has(layer * LAYER_STRIDE + expert);
  }

  /** The expert if it is held. Nobody asked for it, so it counts as no read. */
  peek(layer: number, expert: number): Uint8Array<ArrayBuffer> | undefined {
    return this.#held.get(layer * LAYER_STRIDE + expert)?.bytes;
  }

  /** Drops every record. */
  clear(): void {
    for (const key of [...this.#held.keys()]) this.#drop(key);
  }

  #keep(key: number, bytes: Uint8Array<ArrayBuffer>): void {
    if (bytes.byteLength > this.#budgetBytes || this.#held.has(key)) return;
    while (this.counts.ramHeldBytes + bytes.byteLength > this.#budgetBytes) this.#dropOne();
    this.#held.set(key, { bytes, uses: 1, lastUse: this.#reads });
    this.#owners.add(bytes);
    this.counts.ramHeldBytes += bytes.byteLength;
  }

  /** Drops the record with the lowest decayed reads / (1 + reads since its last one). */
  #dropOne(): void {
    let victim = -1;
    let lowest = Number.POSITIVE_INFINITY;
    for (const [key, held] of this.#held) {
      const score = this.#decayed(held) / (1 + this.#reads - held.lastUse);
      if (score >= lowest) continue;
      victim = key;
      lowest = score;
    }
    this.#drop(victim);
  }

  #drop(key: number): void {
    const held = this.#held.get(key);
    if (!held) return;
    this.#held.delete(key);
    this.counts.ramHeldBytes -= held.bytes.byteLength;
    this.#owners.done(held.bytes);
  }

  #decayed({ uses, lastUse }: Held): number {
    const halfLife = HALF_LIFE_TURNOVERS * (1 + this.#held.size);
    return uses * 2 ** (-(this.#reads - lastUse) / halfLife);
  }
}
