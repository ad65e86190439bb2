/**
 * Reads ahead by routing history: after every decoded token the experts that its routing makes likely are brought to host
 * memory, and through the tiers to disk, where they are not yet. They take no slot and wait behind every demand, so a wrong
 * one costs bytes of an idle link only. Meant for a model that is still on its way.
 */

import type { ModelSpec } from "../models/spec.ts";
import { RoutingHistory } from "../pager/history.ts";
import type { Pager } from "../pager/pager.ts";
import type { RamTier } from "../tiers/ram-tier.ts";
import { moeLayers } from "./sizes.ts";

/** Experts guessed for a layer by one token, and reads under way at most. */
const GUESSES = 2;
const MAX_READS = 4;

export interface HistoryCounts {
  /** Experts that were read ahead, and those of them that a step demanded later. */
  historyReads: number;
  historyUseful: number;
}

export class HistoryReads {
  readonly counts: HistoryCounts = { historyReads: 0, historyUseful: 0 };
  readonly #history: RoutingHistory;
  /** Index in the model of every MoE layer. */
  readonly #layers: readonly number[];
  readonly #pager: Pager;
  readonly #ram: RamTier;
  readonly #stop = new AbortController();
  /** Read ahead and not demanded yet, by MoE layer. */
  readonly #ahead: readonly Set<number>[];
  #underWay = 0;

  constructor(spec: ModelSpec, pager: Pager, ram: RamTier) {
    const layers = moeLayers(spec);
    this.#layers = layers.map(({ layer }) => layer);
    this.#history = new RoutingHistory(layers.map(({ mlp }) => mlp.numExperts));
    this.#ahead = layers.map(() => new Set());
    this.#pager = pager;
    this.#ram = ram;
  }

  /** A token is final: `chosen` [MoE layers][topK], and what its step had to fetch. */
  tokenEnded(chosen: readonly (readonly number[])[], fetched: readonly (readonly number[])[]): void {
    for (const [moe, experts] of fetched.entries()) {
      for (const expert of experts) if (this.#ahead[moe]?.delete(expert)) this.counts.historyUseful += 1;
    }
    this.#history.observe(chosen);
    for (const [moe, experts] of chosen.entries()) {
      for (const expert of this.#history.predict(moe, experts, GUESSES)) this.#read(moe + 1, expert);
    }
  }

  /** Ends the reads under way. */
  dispose(): void {
    this.#stop.abort();
  }

  #read(moe: number, expert: number): void {
    const layer = this.#layers[moe];
    if (layer === undefined || this.#underWay >= MAX_READS || this.#ahead[moe]?.has(expert)) return;
    if (this.#pager.isResident(moe, expert) || this.#ram.holds(layer, expert)) return;
    this.#underWay += 1;
    this.#ram
      .read(layer, expert, { signal: this.#stop.signal, priority: "background" })
      .then(
        (bytes) => {
          this.#ram.done(bytes);
          this.counts.historyReads += 1;
          this.#ahead[moe]?.add(expert);
        },
        () => {}, // a demand for it will tell
      )
      .finally(() => {
        this.#underWay -= 1;
      });
  }
}
