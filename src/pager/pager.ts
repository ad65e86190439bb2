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
import { createPolicy, type EvictionPolicy, type PolicyName } from "./policy.ts";
import { type SlabGeometry, Slabs } from "./slabs.ts";
import { ABSENT, SlotTable } from "./slot-table.ts";
import { type MissingExpert, missingOf, namedBy, type Want } from "./wants.ts";

/** How urgent a read is, and when it is no longer wanted. */
export interface ExpertReadOptions {
  readonly signal: AbortSignal | undefined;
  readonly priority: "demand" | "guess";
}

/** One MoE layer as the pager sees it. */
export interface PagedLayer {
  /** Index in the model. */
  readonly layer: number;
  readonly numExperts: number;
  readonly topK: number;
  readonly geometry: SlabGeometry;
  /** The bytes of one expert in slot layout, which the pager does not change. */
  readonly read: (expert: number, options: ExpertReadOptions) => Promise<Uint8Array<ArrayBuffer>>;
  /** Makes a guess that is being read as urgent as a demand. */
  readonly raise?: (expert: number) => void;
  /** The bytes of an expert where no read is needed for them. */
  readonly atHand?: (expert: number) => Uint8Array<ArrayBuffer> | undefined;
}

/** How long `acquire` waits. */
export interface Patience {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds that guesses are waited for when every demand is in its slot. Default: until they are there too. */
  readonly graceMs?: number | undefined;
}

/** How a step chose an expert: by how many of its tokens, and how many tokens before its end the last of them lies. */
export interface Use {
  readonly count: number;
  readonly back: number;
}

export interface PagerCounts {
  expertsFetched: number;
  evictions: number;
  prefetchesUseful: number;
  prefetchesWasted: number;
  expertBytesFetched: number;
  stallMs: number;
  /** Of `stallMs`, the time that putting experts into slots took the host. */
  placeMs: number;
}

/** What happened to one layer since the last `takeChanges`. */
export interface PagingChange {
  readonly fetched: number[];
  readonly evicted: number[];
}

interface LayerState {
  readonly spec: PagedLayer;
  readonly policy: EvictionPolicy;
  /** Tokens that chose each expert since the load. */
  readonly uses: Uint32Array<ArrayBuffer>;
  /** Fetched on a guess and not used yet. */
  readonly guessed: Set<number>;
  /** Experts whose slots went away under them: they come back with the next slots, or are evicted then. */
  readonly displaced: Set<number>;
  table: SlotTable;
  slabs: Slabs;
  changes: PagingChange;
}

/** Reads under way may hold so many bytes; the fetch queue behind them orders and joins what is asked for together. */
const READ_AHEAD_BYTES = 64 * 2 ** 20;
const MIN_PARALLEL_READS = 6; // what browsers give one HTTP/1.1 host
const MAX_PARALLEL_READS = 64;
/** Guesses that nobody waits for any more; with so many under way no others are read: a slow link would pile them up. */
const MAX_LATE_READS = 48;

/** Written into new slots at once: the browser holds a copy of what the GPU has not taken yet. */
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
  readonly #layers: LayerState[];
  /** By "layer expert". */
  readonly #guesses = new Map<string, GuessRead>();
  /** What the last `acquire` named. */
  #wants: readonly Want[] = [];
  #step = 0;

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
    this.#layers = layers.map((spec) => ({
      spec,
      policy: createPolicy(policy, spec.numExperts),
      uses: new Uint32Array(spec.numExperts),
      guessed: new Set(),
      displaced: new Set(),
      changes: { fetched: [], evicted: [] },
      ...emptySlots(gpu, spec, slotsPerLayer),
    }));
    for (const moe of this.#layers.keys()) this.#writeRow(moe);
  }

  /** Slots of MoE layer `moe`. */
  numSlots(moe: number): number {
    return this.#state(moe).table.numSlots;
  }

  slabs(moe: number): Slabs {
    return this.#state(moe).slabs;
  }

  isResident(moe: number, expert: number): boolean {
    return this.#state(moe).table.has(expert);
  }

  /** Slot of a resident expert. @throws RangeError when it is not resident. */
  slotOf(moe: number, expert: number): number {
    const slot = this.#state(moe).table.slots[expert];
    if (slot === undefined || slot === ABSENT) throw new RangeError(`expert ${expert} is not resident`);
    return slot;
  }

  /**
   * Makes the wanted experts resident: what is missing is read in one batch, demands before guesses, and placed as it
   * arrives. No expert that a want of the same layer names is evicted for another, unless a demand would find no slot:
   * then it takes a guess's. A guess that finds no slot is dropped. A layer's demands must not outnumber its slots.
   * It ends when every demand is in its slot and guesses were given their time; later ones take a slot when they come.
   * When it rejects, all reads have ended, and what had arrived is in place and sound.
   */
  async acquire(wants: readonly Want[], { signal, graceMs = Number.POSITIVE_INFINITY }: Patience = {}): Promise<void> {
    this.#wants = wants;
    const missing = missingOf(wants, (moe, expert) => this.isResident(moe, expert));
    if (missing.length === 0) return;
    const start = performance.now();
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
      this.counts.stallMs += performance.now() - start;
    }
  }

  /** Ends the reads of guesses that are still under way: none comes into a slot afterwards. */
  async endGuesses(): Promise<void> {
    const reads = [...this.#guesses.values()];
    for (const { stop } of reads) stop.abort();
    await Promise.all(reads.map(({ done }) => done));
  }

  /** Reads a demand, unless it comes as a guess. */
  async #demand(want: MissingExpert, until: AbortSignal): Promise<void> {
    const { moe, expert } = want;
    const guess = this.#guesses.get(`${moe} ${expert}`);
    if (guess?.started) {
      this.#state(moe).spec.raise?.(expert);
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
    const bytes = await this.#state(moe).spec.read(expert, { signal: until, priority });
    if (guess) throwIfAborted(until); // nobody may count on its coming any more
    const came = performance.now();
    this.#place(moe, expert, guess, bytes);
    this.counts.placeMs += performance.now() - came;
  }

  /** Another `tokens` tokens are being computed: the clock of the policies goes on. */
  advance(tokens: number): void {
    this.#step += tokens;
  }

  /** Tells the policy of MoE layer `moe` what the tokens that the clock counted last chose there. */
  touch(moe: number, uses: ReadonlyMap<number, Use>): void {
    const { policy, guessed, uses: total } = this.#state(moe);
    for (const [expert, { count, back }] of uses) {
      total[expert] = (total[expert] ?? 0) + count;
      policy.touch(expert, this.#step, count, back);
      if (guessed.delete(expert)) this.counts.prefetchesUseful += 1;
    }
  }

  /** Tokens that chose each expert since the load, layer by layer. */
  useCounts(): Uint32Array<ArrayBuffer> {
    return Uint32Array.from(this.#layers.flatMap(({ uses }) => [...uses]));
  }

  /** What was fetched and evicted in every MoE layer since the last call. */
  takeChanges(): PagingChange[] {
    return this.#layers.map((state) => {
      const { changes } = state;
      state.changes = { fetched: [], evicted: [] };
      return changes;
    });
  }

  /** Experts resident in every MoE layer, a flag each. */
  residentFlags(): { layer: number; resident: boolean[] }[] {
    return this.#layers.map(({ spec, table }) => ({
      layer: spec.layer,
      resident: Array.from(table.slots, (slot) => slot !== ABSENT),
    }));
  }

  /**
   * Gives every layer `slotsPerLayer` slots, as far as its bindings hold them. A layer's old slabs go before its new ones
   * come, so the ledger never exceeds the larger of both budgets. What the old slots held comes back as far as it is at
   * hand and has room; the rest is fetched again when it is wanted.
   */
  async resize(slotsPerLayer: number): Promise<void> {
    await this.endGuesses();
    const changing = [...this.#layers.entries()].filter(
      ([, { spec, table }]) => slotsFor(spec, slotsPerLayer) !== table.numSlots,
    );
    for (const [moe, state] of changing) this.#removeSlots(moe, state);
    for (const [moe, state] of changing) {
      const made = await this.#gpu.ledger.checked("slots", () => emptySlots(this.#gpu, state.spec, slotsPerLayer));
      Object.assign(state, made);
      await this.#refill(state);
      this.#writeRow(moe);
    }
  }

  /** The slots are gone with their device: no expert is resident, and no layer has a slot before `resize`. */
  async drop(): Promise<void> {
    await this.endGuesses();
    for (const [moe, state] of this.#layers.entries()) this.#removeSlots(moe, state);
  }

  dispose(): void {
    void this.endGuesses();
    for (const { slabs } of this.#layers) slabs.destroy();
    this.residency.destroy();
  }

  #removeSlots(moe: number, state: LayerState): void {
    for (const expert of state.table.resident) state.displaced.add(expert);
    state.slabs.destroy();
    state.table = new SlotTable(state.spec.numExperts, 0); // what holds if memory is refused for others
    this.#writeRow(moe);
  }

  /** Puts what lost its slot into the layer's new ones, the worthiest as far as it is at hand and there is room. */
  async #refill(state: LayerState): Promise<void> {
    const { displaced, policy, spec, table } = state;
    const back = new Set([...displaced].filter((expert) => spec.atHand?.(expert)));
    while (back.size > table.numSlots) back.delete(policy.victim([...back], this.#step));
    let written = 0;
    for (const expert of displaced) {
      const bytes = back.has(expert) ? spec.atHand?.(expert) : undefined;
      const slot = bytes && table.takeFree();
      if (bytes === undefined || slot === undefined) {
        this.#noteEviction(state, expert);
        continue;
      }
      this.#write(state, expert, slot, bytes);
      written += bytes.byteLength;
      this.counts.expertBytesFetched += bytes.byteLength;
      if (written % REFILL_BYTES < bytes.byteLength) await this.#gpu.queue.idle();
    }
    displaced.clear();
  }

  #state(moe: number): LayerState {
    const state = this.#layers[moe];
    if (!state) throw new RangeError(`MoE layer ${moe} of ${this.#layers.length}`);
    return state;
  }

  #place(moe: number, expert: number, guess: boolean, bytes: Uint8Array<ArrayBuffer>): void {
    const state = this.#state(moe);
    if (state.table.has(expert)) return; // read for a guess and for a demand
    this.counts.expertBytesFetched += bytes.byteLength;
    const named = namedBy(this.#wants, moe);
    const spare = guess ? [named] : [named, namedBy(this.#wants, moe, "demands")];
    const slot = state.table.takeFree() ?? this.#evictOne(moe, state, spare);
    if (slot === undefined) {
      if (guess) this.counts.prefetchesWasted += 1;
      else throw new RangeError(`layer ${state.spec.layer}: more experts demanded at once than slots`);
      return;
    }
    this.#write(state, expert, slot, bytes);
    this.#writeEntry(moe, expert, slot);
    if (guess) state.guessed.add(expert);
    state.changes.fetched.push(expert);
  }

  #write(state: LayerState, expert: number, slot: number, bytes: Uint8Array<ArrayBuffer>): void {
    const { buffer, offset } = state.slabs.locate(slot);
    this.#gpu.queue.write(buffer, offset, bytes);
    state.table.place(expert, slot);
    this.counts.expertsFetched += 1;
  }

  /** `spare`: experts that are not to be evicted; each further set is tried when the one before leaves none. */
  #evictOne(moe: number, state: LayerState, spare: readonly ReadonlySet<number>[]): number | undefined {
    const resident = [...state.table.resident];
    const candidates = spare
      .map((set) => resident.filter((expert) => !set.has(expert)))
      .find(({ length }) => length > 0);
    if (!candidates) return undefined;
    const [chosen] = spare;
    const victim = state.policy.victim(candidates, this.#step, chosen && [...chosen]);
    const slot = state.table.evict(victim);
    this.#writeEntry(moe, victim, ABSENT);
    this.#noteEviction(state, victim);
    return slot;
  }

  #noteEviction(state: LayerState, expert: number): void {
    this.counts.evictions += 1;
    if (state.guessed.delete(expert)) this.counts.prefetchesWasted += 1;
    state.changes.evicted.push(expert);
  }

  #writeEntry(moe: number, expert: number, slot: number): void {
    this.#gpu.queue.write(this.residency, (moe * this.residencyStride + expert) * 4, new Uint32Array([slot]));
  }

  #writeRow(moe: number): void {
    this.#gpu.queue.write(this.residency, moe * this.residencyStride * 4, this.#state(moe).table.slots);
  }
}

function slotsFor(spec: PagedLayer, wanted: number): number {
  return Math.min(wanted, spec.numExperts, spec.geometry.maxSlots);
}

function emptySlots(gpu: Gpu, spec: PagedLayer, wanted: number): { table: SlotTable; slabs: Slabs } {
  const numSlots = slotsFor(spec, wanted);
  return {
    table: new SlotTable(spec.numExperts, numSlots),
    slabs: new Slabs(gpu.ledger, spec.geometry, numSlots, `layer ${spec.layer}`),
  };
}
