/**
 * Replays a routing trace against a policy, without a model or a GPU. An *event* is all experts of one (step, layer);
 * layers have slots of their own and start empty. An event's hits are counted against what was resident before it; then
 * its experts are admitted; then the policy trims the layer to its slots, and may drop what just came. Guesses wait in a
 * place of their own until their event and evict nobody. Replaying one by one what is chosen together would count
 * misses that no runtime has (arXiv 2608.07911).
 */

import type { EvictionPolicy } from "./policy.ts";
import { createPrefetcher, type PrefetchName } from "./prefetcher.ts";
import { createReplayPolicy, type ReplayPolicyName } from "./replay-policies.ts";
import { SlotTable } from "./slot-table.ts";
import type { Trace, TraceStep } from "./trace-file.ts";

export interface ReplayOptions {
  readonly policy: ReplayPolicyName;
  readonly slotsPerLayer: number;
  /** Experts of every MoE layer. */
  readonly numExperts: number;
  readonly prefetch: PrefetchName;
  /** Experts guessed for an event at most; those resident do not count. */
  readonly guesses: number;
}

/** What a replay saw, in experts. picks = hits + timely + demandLoads, and guessLoads = timely + wasted. */
export interface ReplayCounts {
  tokens: number;
  events: number;
  /** Experts chosen. */
  picks: number;
  /** Chosen and resident: no byte moved for them. */
  hits: number;
  /** Chosen, absent when the guess was made, and there in time because of it. */
  timely: number;
  /** Chosen and fetched while the token waited. */
  demandLoads: number;
  guessLoads: number;
  /** Fetched on a guess and never used. */
  wasted: number;
  /** Residents that gave up their slot. */
  evictions: number;
  /** Chosen by their layer for the first time: no policy can have kept them. */
  firstTouches: number;
  /** Events that fetched nothing while the token waited. */
  cleanEvents: number;
  /** How many events were preceded by a fetch of this many guesses. */
  guessBatches: Map<number, number>;
}

/** The steps of `phase`; each is replayed as a token of its own. */
export function stepsOf(trace: Trace, phase: "prefill" | "decode" | "all"): TraceStep[] {
  return trace.steps.filter((step) => phase === "all" || step.phase === (phase === "decode" ? 1 : 0));
}

/** `capacity` as slots per layer: a share of the experts is rounded to the nearest whole slot, and one at least. */
export function slotsFor(
  capacity: { readonly slots: number } | { readonly share: number },
  numExperts: number,
): number {
  const slots = "slots" in capacity ? capacity.slots : Math.round(capacity.share * numExperts);
  return Math.max(1, Math.min(numExperts, slots));
}

export function newReplayCounts(): ReplayCounts {
  return {
    tokens: 0,
    events: 0,
    picks: 0,
    hits: 0,
    timely: 0,
    demandLoads: 0,
    guessLoads: 0,
    wasted: 0,
    evictions: 0,
    firstTouches: 0,
    cleanEvents: 0,
    guessBatches: new Map(),
  };
}

/** Replays `steps`, cold at the first. @throws RangeError for an expert that is not one of `numExperts`. */
export function replayEvents(steps: readonly TraceStep[], options: ReplayOptions): ReplayCounts {
  const counts = newReplayCounts();
  const prefetcher = createPrefetcher(options.prefetch, steps, options.numExperts);
  const layers = layersOf(steps, options);
  steps.forEach(({ experts }, index) => {
    counts.tokens += 1;
    experts.forEach((event, moe) => {
      const layer = layers[moe];
      if (!layer) throw new RangeError(`MoE layer ${moe} of ${layers.length}`);
      if (event.length === 0) return; // a prefill token that the layer did not compute
      const ranked = prefetcher.guess(index, moe, experts[moe - 1] ?? []);
      const guessed = ranked.filter((expert) => !layer.table.has(expert)).slice(0, options.guesses);
      countEvent(counts, layer, event, guessed);
      admit(counts, layer, event, index + 1);
    });
    prefetcher.observe(index);
  });
  return counts;
}

interface Layer {
  readonly policy: EvictionPolicy;
  readonly slotsPerLayer: number;
  readonly table: SlotTable;
  /** Slots that were given up. */
  readonly spare: number[];
  /** Every expert ever chosen. */
  readonly touched: Set<number>;
}

function layersOf(steps: readonly TraceStep[], { policy, numExperts, slotsPerLayer }: ReplayOptions): Layer[] {
  return (steps[0]?.experts ?? []).map((_, moe) => {
    const events = steps.map(({ experts }) => checkedEvent(experts[moe] ?? [], numExperts));
    return {
      policy: createReplayPolicy(policy, numExperts, events),
      slotsPerLayer,
      // An event's experts are admitted before the layer is trimmed.
      table: new SlotTable(numExperts, slotsPerLayer + Math.max(...events.map(({ length }) => length))),
      spare: [],
      touched: new Set(),
    };
  });
}

/** One more of `size`. */
export function count(batches: Map<number, number>, size: number): void {
  batches.set(size, (batches.get(size) ?? 0) + 1);
}

export function checkedEvent(event: readonly number[], numExperts: number): readonly number[] {
  const stranger = event.find((expert) => expert >= numExperts);
  if (stranger === undefined) return event;
  throw new RangeError(`expert ${stranger} in the trace; expected ids below ${numExperts}`);
}

function countEvent(counts: ReplayCounts, layer: Layer, event: readonly number[], guessed: readonly number[]): void {
  const absent = event.filter((expert) => !layer.table.has(expert));
  const demanded = absent.filter((expert) => !guessed.includes(expert));
  const timely = absent.length - demanded.length;
  counts.events += 1;
  counts.picks += event.length;
  counts.hits += event.length - absent.length;
  counts.timely += timely;
  counts.demandLoads += demanded.length;
  counts.guessLoads += guessed.length;
  counts.wasted += guessed.length - timely;
  counts.firstTouches += absent.filter((expert) => !layer.touched.has(expert)).length;
  if (demanded.length === 0) counts.cleanEvents += 1;
  if (guessed.length > 0) count(counts.guessBatches, guessed.length);
}

/** The event's experts come in; then the policy trims the layer, of which the event's own are candidates like any other. */
function admit(counts: ReplayCounts, layer: Layer, event: readonly number[], step: number): void {
  const { policy, table, spare, touched } = layer;
  const before = new Set(table.resident);
  for (const expert of event) {
    policy.touch(expert, step, 1);
    touched.add(expert);
    if (table.has(expert)) continue;
    const slot = spare.pop() ?? table.takeFree();
    if (slot === undefined) throw new RangeError(`no slot for expert ${expert}`);
    table.place(expert, slot);
  }
  if (table.resident.size <= layer.slotsPerLayer) return;
  const candidates = [...table.resident].sort((a, b) => a - b);
  while (candidates.length > layer.slotsPerLayer) {
    const victim = policy.victim(candidates, step, event);
    candidates.splice(candidates.indexOf(victim), 1);
    spare.push(table.evict(victim));
    if (before.has(victim)) counts.evictions += 1;
  }
}
