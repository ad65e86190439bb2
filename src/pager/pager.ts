/**
 * The pager: which experts are in GPU slots. Its door is `acquire`, which makes experts of some layers resident, in one
 * batch, evicting others by policy. The residency table on the GPU mirrors the slot tables, so a step finds its slots
 * without the host. What is not here: when to acquire (engine) and where bytes come from (weights).
 *
 * A guess may come after `acquire` has returned. Its slot is written in queue order, so a submission that was made before
 * does not see it; it never takes the slot of an expert that the last `acquire` named.
 */
import type { Gpu } from "../gpu/device.ts";
import type { LedgerBuffer } from "../gpu/ledger.ts";
import { STORAGE_USAGE } from "../gpu/usage.ts";
import { throwIfAborted, within } from "../util/abort.ts";
import { createLimiter, type Limiter } from "../util/limit.ts";
import { LayerSlots, type PagingChange, type SlotCounts, type SlottedLayer, type Use } from "./layer-slots.ts";
import { createPolicy, type PolicyName } from "./policy.ts";
import type { Slabs } from "./slabs.ts";
import { type MissingExpert, missingOf, namedBy, type Want, withSlots } from "./wants.ts";

/** How urgent a read is, and when it is no longer wanted. */
export interface ExpertReadOptions {
  readonly signal: AbortSignal | undefined;
  readonly priority: "demand" | "guess";
}

/** One MoE layer as the pager sees it. */
export interface PagedLayer extends SlottedLayer {
  /** The bytes of one expert in slot layout, which the pager does not change. */
  readonly read: (expert: number, options: ExpertReadOptions) => Promise<Uint8Array<ArrayBuffer>>;
  /** Makes a guess that is being read as urgent as a demand. */
  readonly raise?: (expert: number) => void;
  /** Told of bytes that `read` gave and that are no longer needed. */
  readonly done?: (bytes: Uint8Array<ArrayBuffer>) => void;
}

/** How long `acquire` waits. */
export interface Patience {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds that guesses are waited for when every demand is in its slot. Default: until they are there too. */
  readonly graceMs?: number | undefined;
}

export interface PagerCounts extends SlotCounts {
  stallMs: number;
  /** Of `stallMs`, the time that putting experts into slots took the host. */
  placeMs: number;
}

/** Reads under way may hold so many bytes; the fetch queue behind them orders and joins what is asked for together. */
const READ_AHEAD_BYTES = 64 * 2 ** 20;
const MIN_PARALLEL_READS = 6; // what browsers give one HTTP/1.1 host
const MAX_PARALLEL_READS = 64;
/** Guesses that nobody waits for any more; with so many under way no others are read: a slow link would pile them up. */
const MAX_LATE_READS = 48;

/** Written into new slots before the GPU is waited for: the browser holds a copy of what the GPU has not taken yet. */
const REFILL_BYTES = 64 * 2 ** 20;

/** A read under way for a guess. */
interface GuessRead {
  readonly stop: AbortController;
  /** It waits for others of its batch no longer. */
  started: boolean;
  /** Never rejects. */
  readonly done: Promise<void>;
}

export class Pager {
  readonly counts: PagerCounts = {
    expertsFetched: 0,
    evictions: 0,
    prefetchesUseful: 0,
    prefetchesWasted: 0,
    expertBytesFetched: 0,
    stallMs: 0,
    placeMs: 0,
  };
  /** Residency table [MoE layers, most experts of any] u32: slot or ABSENT. */
  readonly residency: LedgerBuffer;
  /** Words of one layer's row in the residency table. */
  readonly residencyStride: number;
  readonly #gpu: Gpu;
  readonly #parallelReads: number;
  readonly #layers: readonly PagedLayer[];
  readonly #slots: readonly LayerSlots[];
  /** By "layer expert". */
  readonly #guesses = new Map<string, GuessRead>();
  /** What the last `acquire` named. */
  #wants: readonly Want[] = [];
  /** What the last `guess` named: for a step after that. */
  #nextWants: readonly Want[] = [];
  #step = 0;
  /** Somebody waits in `acquire`. */
  #stalled = false;
  #isDisposed = false;

  constructor(gpu: Gpu, layers: readonly PagedLayer[], policy: PolicyName, slotsPerLayer: number) {
    this.#gpu = gpu;
    const reads = Math.floor(READ_AHEAD_BYTES / Math.max(1, ...layers.map(({ geometry }) => geometry.slotBytes)));
    this.#parallelReads = Math.min(MAX_PARALLEL_READS, Math.max(MIN_PARALLEL_READS, reads));
    this.residencyStride = Math.max(1, ...layers.map(({ numExperts }) => numExperts));
    this.residency = gpu.ledger.create(
      "tables",
      "residency",
      Math.max(1, layers.length) * this.residencyStride * 4,
      STORAGE_USAGE,
    );
    this.#layers = layers;
    this.#slots = layers.map((spec, moe) => {
      const row = { buffer: this.residency, offset: moe * this.residencyStride * 4, bytes: spec.numExperts * 4 };
      return new LayerSlots(gpu, spec, createPolicy(policy, spec.numExperts), row, this.counts, slotsPerLayer);
    });
  }

  /** Slots of MoE layer `moe`. */
  numSlots(moe: number): number {
    return this.#slotsOf(moe).count;
  }

  slabs(moe: number): Slabs {
    return this.#slotsOf(moe).slabs;
  }

  isResident(moe: number, expert: number): boolean {
    return this.#slotsOf(moe).has(expert);
  }

  /** Slot of a resident expert. @throws RangeError when it is not resident. */
  slotOf(moe: number, expert: number): number {
    return this.#slotsOf(moe).slotOf(expert);
  }

  /**
   * Makes the wanted experts resident: what is missing is read in one batch, demands before guesses, and placed as it
   * arrives. No expert that a want of the same layer names is evicted for another, unless a demand would find no slot:
   * then it takes a guess's. Guesses for which there is no slot are not read. A layer's demands must not outnumber its slots.
   * It ends when every demand is in its slot and guesses were given their time; later ones take a slot when they come.
   * When it rejects, all reads have ended, and what had arrived is in place and sound.
   */
  async acquire(wants: readonly Want[], { signal, graceMs = Number.POSITIVE_INFINITY }: Patience = {}): Promise<void> {
    this.#wants = withSlots(wants, (moe) => this.numSlots(moe));
    const missing = missingOf(this.#wants, (moe, expert) => this.isResident(moe, expert));
    if (missing.length === 0) return;
    const start = performance.now();
    this.#stalled = true;
    const stop = new AbortController();
    const until = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
    const limit = createLimiter(this.#parallelReads);
    const most = graceMs === Number.POSITIVE_INFINITY ? graceMs : MAX_LATE_READS;
    const demands: Promise<void>[] = [];
    const guesses: Promise<void>[] = [];
    for (const want of missing) {
      if (want.guess && this.#guesses.size < most) guesses.push(this.#guess(want, until, stop, limit));
      else if (!want.guess) demands.push(limit(() => this.#demand(want, until), until));
    }
    try {
      await Promise.all(demands);
      await within(Promise.all(guesses), graceMs, until);
    } catch (error) {
      stop.abort(); // what came later would evict under the next step's feet
      await Promise.allSettled([...demands, ...guesses]);
      throw error;
    } finally {
      this.#stalled = false;
      this.counts.stallMs += performance.now() - start;
    }
  }

  /**
   * Has what is missing of `wants`, all of them guesses, read for a step to come. They take a slot when they are there, none
   * of an expert that they or the last `acquire` name, and keep it from other guesses until the next call. Those for which
   * there is no slot beside what that `acquire` named are not read.
   */
  guess(wants: readonly Want[]): void {
    if (this.#isDisposed) return;
    this.#nextWants = withSlots(wants, (moe) => this.numSlots(moe), this.#wants);
    const isComing = (moe: number, expert: number) => namedBy(this.#wants, moe).has(expert);
    const missing = missingOf(this.#nextWants, (moe, expert) => this.isResident(moe, expert) || isComing(moe, expert));
    const stop = new AbortController();
    const limit = createLimiter(this.#parallelReads);
    for (const want of missing) {
      if (this.#guesses.size < MAX_LATE_READS) void this.#guess(want, stop.signal, stop, limit);
    }
  }

  /** Ends the reads of guesses that are still under way: none comes into a slot afterwards. */
  async endGuesses(): Promise<void> {
    this.#nextWants = [];
    const reads = [...this.#guesses.values()];
    for (const { stop } of reads) stop.abort();
    await Promise.all(reads.map(({ done }) => done));
  }

  /** Reads a demand, unless it comes as a guess. */
  async #demand(want: MissingExpert, until: AbortSignal): Promise<void> {
    const { moe, expert } = want;
    const guess = this.#guesses.get(`${moe} ${expert}`);
    if (guess?.started) {
      this.#layerOf(moe).raise?.(expert);
      const end = (): void => guess.stop.abort();
      until.addEventListener("abort", end, { once: true });
      await guess.done;
      until.removeEventListener("abort", end);
      throwIfAborted(until);
    }
    if (!this.isResident(moe, expert)) await this.#load(want, until);
  }

  /** Reads a guess, or waits for the read that is under way. What goes wrong is told to the demand that asks again. */
  #guess({ moe, expert }: MissingExpert, until: AbortSignal, stop: AbortController, limit: Limiter): Promise<void> {
    const key = `${moe} ${expert}`;
    const known = this.#guesses.get(key);
    if (known) return known.done;
    const load = async (): Promise<void> => {
      read.started = true;
      if (!this.isResident(moe, expert)) await this.#load({ moe, expert, guess: true }, until);
    };
    const done = limit(load, until)
      .catch(() => {})
      .finally(() => this.#guesses.delete(key));
    const read: GuessRead = { stop, done, started: false };
    this.#guesses.set(key, read);
    return done;
  }

  async #load({ moe, expert, guess }: MissingExpert, until: AbortSignal): Promise<void> {
    const priority = guess ? "guess" : "demand";
    const layer = this.#layerOf(moe);
    const bytes = await layer.read(expert, { signal: until, priority });
    try {
      if (guess) throwIfAborted(until); // nobody may count on its coming any more
      const came = performance.now();
      this.#place(moe, expert, guess, bytes);
      if (this.#stalled) this.counts.placeMs += performance.now() - came; // a late guess delays nobody
    } finally {
      layer.done?.(bytes);
    }
  }

  /** Another `tokens` tokens are being computed: the clock of the policies goes on. */
  advance(tokens: number): void {
    this.#step += tokens;
  }

  /** Tells the policy of MoE layer `moe` what the tokens that the clock counted last chose there. */
  touch(moe: number, uses: ReadonlyMap<number, Use>): void {
    this.#slotsOf(moe).touch(uses, this.#step);
  }

  /** Tokens that chose each expert since the load, layer by layer. */
  useCounts(): Uint32Array<ArrayBuffer> {
    return Uint32Array.from(this.#slots.flatMap(({ uses }) => [...uses]));
  }

  /** What was fetched and evicted in every MoE layer since the last call. */
  takeChanges(): PagingChange[] {
    return this.#slots.map((slots) => slots.takeChanges());
  }

  /** Experts resident in every MoE layer, a flag each. */
  residentFlags(): { layer: number; resident: boolean[] }[] {
    return this.#layers.map(({ layer }, moe) => ({ layer, resident: this.#slotsOf(moe).resident }));
  }

  /**
   * Gives every layer `slotsPerLayer` slots, as far as its bindings hold them. A layer's old slabs go before its new ones
   * come, so the ledger never exceeds the larger of both budgets. What the old slots held comes back as far as it is at
   * hand and has room; the rest is fetched again when it is wanted.
   */
  async resize(slotsPerLayer: number): Promise<void> {
    await this.endGuesses();
    const changing = this.#slots.filter((slots) => slots.differ(slotsPerLayer));
    for (const slots of changing) slots.remove();
    let written = 0;
    for (const slots of changing) {
      const slabs = await this.#gpu.ledger.checked("slots", () => slots.newSlabs(slotsPerLayer));
      written += slots.refill(slabs, this.#step);
      if (written < REFILL_BYTES) continue;
      await this.#gpu.queue.idle();
      written = 0;
    }
  }

  /** The slots are gone with their device: no expert is resident, and no layer has a slot before `resize`. */
  async drop(): Promise<void> {
    await this.endGuesses();
    for (const slots of this.#slots) slots.remove();
  }

  dispose(): void {
    this.#isDisposed = true;
    void this.endGuesses();
    for (const slots of this.#slots) slots.destroy();
    this.residency.destroy();
  }

  #layerOf(moe: number): PagedLayer {
    const layer = this.#layers[moe];
    if (!layer) throw new RangeError(`MoE layer ${moe} of ${this.#layers.length}`);
    return layer;
  }

  #slotsOf(moe: number): LayerSlots {
    const slots = this.#slots[moe];
    if (!slots) throw new RangeError(`MoE layer ${moe} of ${this.#slots.length}`);
    return slots;
  }

  #place(moe: number, expert: number, guess: boolean, bytes: Uint8Array<ArrayBuffer>): void {
    const slots = this.#slotsOf(moe);
    if (slots.has(expert)) return; // read for a guess and for a demand
    const named = namedBy(this.#wants, moe);
    const all = new Set([...named, ...namedBy(this.#nextWants, moe)]);
    const spare = guess ? [all] : [all, named];
    if (slots.place(expert, bytes, { guess, spare, chosen: [...named] }, this.#step) || guess) return;
    throw new RangeError(`layer ${this.#layers[moe]?.layer}: more experts demanded at once than slots`);
  }
}
