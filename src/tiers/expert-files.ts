/**
 * Experts by number over a model's files: reads one in slot layout, fills the disk cache in the background, and keeps
 * account of how often each was used, which says who stays in the cache and who is fetched first at the next visit.
 */
import { UsageError } from "../errors.ts";
import type { SlotLayout } from "../weights/expert-table.ts";
import { packExpert } from "../weights/weight-map.ts";
import type { ModelCache } from "./model-cache.ts";
import type { FileRange, ModelFile, ModelFiles } from "./model-files.ts";
import type { ReadExpert } from "./read-expert.ts";

/** The experts of one MoE layer as data that can cross to a worker. */
export interface ExpertLayer {
  /** Index in the model. */
  readonly layer: number;
  readonly numExperts: number;
  readonly layout: SlotLayout;
  /** Stored parts of an expert. */
  readonly numParts: number;
  /** Number of the open file, offset and length of every part: [numExperts, numParts, 3]. */
  readonly parts: Float64Array<ArrayBuffer>;
}

/** What the background fill does: stopped, at work, out of room, stopped by an error, or through with every expert. */
export type FillState = "off" | "running" | "full" | "failed" | "done";

export class ExpertFiles {
  fillState: FillState = "off";
  readonly #files: ModelFiles;
  readonly #cache: ModelCache | undefined;
  readonly #layers: readonly ExpertLayer[];
  readonly #openFiles: readonly ModelFile[];
  /** First number of every layer's experts among all experts of the model, by its index in the model. */
  readonly #firsts = new Map<number, number>();
  readonly #numExperts: number;
  /** Uses by number: in earlier visits, halved at each, and in this one. */
  readonly #earlier: Uint32Array<ArrayBuffer>;
  #uses: Uint32Array<ArrayBuffer>;
  readonly #reads: Uint32Array<ArrayBuffer>;
  #fill: AbortController | undefined;
  /** What was asked for last. */
  #fillWanted = false;
  #filling: Promise<void> = Promise.resolve();

  private constructor(
    files: ModelFiles,
    cache: ModelCache | undefined,
    openFiles: readonly ModelFile[],
    layers: readonly ExpertLayer[],
    earlier: Uint32Array<ArrayBuffer>,
  ) {
    this.#files = files;
    this.#cache = cache;
    this.#openFiles = openFiles;
    this.#layers = layers;
    this.#numExperts = layers.reduce((first, { layer, numExperts }) => {
      this.#firsts.set(layer, first);
      return first + numExperts;
    }, 0);
    const known = earlier.length === this.#numExperts;
    this.#earlier = known ? earlier.map((uses) => uses >>> 1) : new Uint32Array(this.#numExperts);
    this.#uses = new Uint32Array(this.#numExperts);
    this.#reads = new Uint32Array(this.#numExperts);
    if (cache) cache.totalExperts = this.#numExperts;
  }

  /** @param openFiles the files by the numbers that `layers` use. */
  static async open(
    files: ModelFiles,
    cache: ModelCache | undefined,
    openFiles: readonly ModelFile[],
    layers: readonly ExpertLayer[],
  ): Promise<ExpertFiles> {
    return new ExpertFiles(files, cache, openFiles, layers, (await cache?.loadUses()) ?? new Uint32Array(0));
  }

  /** How much the expert with the group `id + 1` is worth keeping. */
  readonly worth = (group: number): number => {
    const id = group - 1;
    return (this.#earlier[id] ?? 0) + (this.#uses[id] ?? 0) + (this.#reads[id] ?? 0);
  };

  /** One expert in slot layout; the buffer is the caller's own. */
  readonly read: ReadExpert = async (layer, expert, options) => {
    const first = this.#firsts.get(layer);
    const table = this.#layers.find((each) => each.layer === layer);
    if (first === undefined || !table || expert >= table.numExperts) {
      throw new UsageError(`The model has no expert ${expert} in layer ${layer}`);
    }
    const id = first + expert;
    this.#reads.set([(this.#reads[id] ?? 0) + 1], id);
    const pack = (parts: Uint8Array[]): Uint8Array<ArrayBuffer> => packExpert(table.layout, parts);
    return this.#files.readGroup(this.#rangesOf(table, expert), id + 1, options, pack);
  };

  /** Makes an expert that is being fetched as urgent as a demand. */
  raise(layer: number, expert: number): void {
    const table = this.#layers.find((each) => each.layer === layer);
    if (table && expert < table.numExperts) this.#files.raise(this.#rangesOf(table, expert));
  }

  /** Uses of every expert of this visit so far, layer by layer. Kept with those of earlier visits. */
  async noteUses(uses: Uint32Array<ArrayBuffer>): Promise<void> {
    if (uses.length !== this.#numExperts) throw new UsageError(`${this.#numExperts} experts, ${uses.length} uses`);
    this.#uses = uses;
    await this.#cache?.saveUses(this.#earlier.map((earlier, id) => earlier + (uses[id] ?? 0)));
    await this.#cache?.commit();
  }

  /** Per MoE layer the experts that the cache holds and earlier visits used, the most used first. */
  popular(): number[][] {
    return this.#layers.map(({ layer, numExperts }) => {
      const first = this.#firsts.get(layer) ?? 0;
      const uses = (expert: number): number => this.#earlier[first + expert] ?? 0;
      return [...Array(numExperts).keys()]
        .filter((expert) => uses(expert) > 0 && this.#cache?.holds(first + expert + 1))
        .sort((a, b) => uses(b) - uses(a));
    });
  }

  /** Starts or stops the background fill. A stop resolves when its last read has ended, and a start waits for that. */
  async setFill(on: boolean): Promise<void> {
    this.#fillWanted = on;
    if (!on) this.#fill?.abort();
    if (this.#fill?.signal.aborted) await this.#filling;
    if (!on || !this.#fillWanted) return; // a later call has the last word
    if (this.fillState === "running" || !this.#cache || this.#cache.disabled !== "") return;
    this.fillState = "running";
    this.#fill = new AbortController();
    this.#filling = this.#runFill(this.#cache, this.#fill.signal);
  }

  /** The most used first. What cannot be read is left to a reader who needs it, who is told why. */
  async #runFill(cache: ModelCache, signal: AbortSignal): Promise<void> {
    try {
      for (const { table, expert, group } of this.#byWorth()) {
        if (cache.holds(group)) continue;
        const refusals = cache.counts.cacheRefusals;
        const background = { priority: "background", signal } as const;
        await this.#files.readGroup(this.#rangesOf(table, expert), group, background, () => {}); // into the cache
        if (cache.counts.cacheRefusals === refusals && cache.disabled === "") continue;
        this.fillState = "full";
        return;
      }
      this.fillState = "done";
    } catch {
      this.fillState = signal.aborted ? "off" : "failed"; // `setFill(true)` goes on from here
    } finally {
      await this.#files.stored();
    }
  }

  #byWorth(): { table: ExpertLayer; expert: number; group: number }[] {
    const all = this.#layers.flatMap((table) => {
      const first = this.#firsts.get(table.layer) ?? 0;
      return [...Array(table.numExperts).keys()].map((expert) => ({ table, expert, group: first + expert + 1 }));
    });
    return all.sort((a, b) => this.worth(b.group) - this.worth(a.group));
  }

  #rangesOf({ parts, numParts }: ExpertLayer, expert: number): FileRange[] {
    return Array.from({ length: numParts }, (_, part) => {
      const at = (expert * numParts + part) * 3;
      const file = this.#openFiles[parts[at] ?? -1];
      if (!file) throw new UsageError(`Part ${part} of expert ${expert} is in a file that was not opened`);
      return { file, offset: parts[at + 1] ?? 0, length: parts[at + 2] ?? 0 };
    });
  }
}
