/** The instruments: speed, hit rate and bytes of this answer, and what the GPU's memory is spent on, by owner. */
import type { MemoryPlan, Stats } from "../src/index.ts";
import { byId, element, setText } from "./dom.ts";
import { bytes, duration, figures, percent } from "./format.ts";

const TILES = [
  ["speed", "Tokens / s"],
  ["first", "First token"],
  ["hits", "Hit rate"],
  ["experts", "Experts resident"],
  ["fetched", "Bytes fetched"],
  ["rounds", "Clean steps"],
] as const;

type TileName = (typeof TILES)[number][0];

/** Owners of GPU bytes as the bar shows them; everything the ledger names otherwise is working memory. */
const OWNERS = [
  ["dense", "dense"],
  ["slots", "expert slots"],
  ["kv", "KV cache"],
  ["scratch", "working"],
] as const;

type OwnerName = (typeof OWNERS)[number][0];

export interface Reading {
  readonly stats: Stats;
  /** The counters when this answer began. */
  readonly since: Stats;
  readonly plan: MemoryPlan;
  readonly residents: number;
  readonly experts: number;
}

export class StatsView {
  readonly #tiles = new Map<TileName, { value: HTMLElement; note: HTMLElement }>();
  readonly #segments = new Map<OwnerName, { bar: HTMLElement; label: HTMLElement }>();
  readonly #total = element("li", "total figures");
  readonly #bar = byId("gpu-bar", HTMLElement);

  constructor() {
    for (const [name, label] of TILES) this.#addTile(name, label);
    for (const [name, label] of OWNERS) this.#addOwner(name, label);
    byId("gpu-legend", HTMLElement).append(this.#total);
    this.clear();
  }

  clear(): void {
    for (const [name] of TILES) this.#set(name, "–", "");
    for (const { bar, label } of this.#segments.values()) {
      bar.style.flexGrow = "0";
      setText(label, "–");
    }
    setText(this.#total, "");
  }

  update({ stats, since, plan, residents, experts }: Reading): void {
    const tokens = stats.decodeTokens - since.decodeTokens;
    const ms = stats.decodeMs - since.decodeMs;
    const hits = stats.expertHits - since.expertHits;
    const lookups = hits + stats.expertMisses - since.expertMisses;
    const clean = stats.cleanSteps - since.cleanSteps;
    const rounds = stats.decodeRounds - since.decodeRounds;
    this.#set("speed", ms > 0 ? figures((1000 * tokens) / ms) : "–", tokens > 0 ? `over ${tokens} tokens` : "");
    this.#set("first", stats.timeToFirstTokenMs > 0 ? duration(stats.timeToFirstTokenMs) : "–", "");
    this.#set("hits", percent(hits, lookups), lookups > 0 ? `${hits} of ${lookups} look-ups` : "");
    this.#set("experts", `${residents}`, `of ${experts}`);
    const fetched = sourceBytes(stats);
    this.#set("fetched", bytes(fetched - sourceBytes(since)), `${bytes(fetched)} since opening`);
    const roundsNote = tokens > 0 ? `${figures(rounds / tokens)} rounds a token` : "";
    this.#set("rounds", percent(clean, tokens), roundsNote);
    this.#showMemory(stats, plan);
  }

  #showMemory(stats: Stats, plan: MemoryPlan): void {
    const owned: Record<OwnerName, number> = { dense: 0, slots: 0, kv: 0, scratch: 0 };
    for (const [owner, count] of Object.entries(stats.gpuBytes)) {
      owned[owner === "dense" || owner === "slots" || owner === "kv" ? owner : "scratch"] += count;
    }
    for (const [name, segment] of this.#segments) {
      segment.bar.style.flexGrow = String(owned[name]);
      setText(segment.label, bytes(owned[name]));
    }
    const budget = `${bytes(stats.gpuBytesTotal)} of a budget of ${bytes(plan.budgetBytes)}`;
    setText(this.#total, budget);
    const parts = OWNERS.map(([name, label]) => `${label} ${bytes(owned[name])}`).join(", ");
    this.#bar.setAttribute("aria-label", `GPU memory: ${budget}. ${parts}.`);
  }

  #set(name: TileName, value: string, note: string): void {
    const tile = this.#tiles.get(name);
    if (!tile) return;
    setText(tile.value, value);
    setText(tile.note, note);
  }

  #addTile(name: TileName, label: string): void {
    const group = element("div", "tile");
    const value = element("strong");
    const note = element("small");
    const detail = element("dd", "figures");
    value.id = `stat-${name}`;
    detail.append(value, note);
    group.append(element("dt", "", label), detail);
    byId("stats", HTMLElement).append(group);
    this.#tiles.set(name, { value, note });
  }

  #addOwner(name: OwnerName, label: string): void {
    const bar = element("span", `segment ${name}`);
    this.#bar.append(bar);
    const item = element("li");
    const figure = element("span", "figures");
    item.append(element("i", `swatch ${name}`), element("span", "", label), figure);
    byId("gpu-legend", HTMLElement).append(item);
    this.#segments.set(name, { bar, label: figure });
  }
}

function sourceBytes(stats: Stats): number {
  return stats.networkBytes + stats.fileBytes + stats.memoryBytes;
}
