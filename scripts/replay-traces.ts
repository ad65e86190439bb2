/** Behind `npm run replay`: reads routing traces, replays them, writes tables for people or JSON. */
import { readFile, stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { FormatError, SourceError, UsageError } from "../src/errors.ts";
import { guessRecall } from "../src/pager/prefetcher.ts";
import { type ReplayCounts, replayEvents, slotsFor, stepsOf } from "../src/pager/replay.ts";
import { type Cost, eventCost, roundCost } from "../src/pager/replay-link.ts";
import type { ReplayPolicyName } from "../src/pager/replay-policies.ts";
import { type RoundCounts, replayRounds } from "../src/pager/replay-rounds.ts";
import { parseTrace, type TraceStep } from "../src/pager/trace-file.ts";
import { humanBytes } from "../src/util/math.ts";
import { PACKED_MARK, type PackedTrace, unpackTrace } from "./packed-trace.ts";
import { parseReplayArguments, type ReplayArguments } from "./replay-arguments.ts";

/** Of a file, and of what a compressed one holds: under the longest string of the engine, over any trace seen. */
const MAX_TRACE_BYTES = 400 * 2 ** 20;

interface EventRow {
  readonly policy: ReplayPolicyName;
  readonly slots: number;
  readonly counts: ReplayCounts;
  readonly cost: Cost | undefined;
}

interface RoundRow {
  readonly policy: ReplayPolicyName;
  readonly slots: number;
  readonly runAhead: number;
  readonly counts: RoundCounts;
  readonly cost: Cost | undefined;
}

interface TraceReplay {
  readonly name: string;
  readonly numExperts: number;
  readonly numLayers: number;
  readonly topK: number;
  readonly tokens: number;
  /** Share of a layer's experts that the prefetcher names; undefined without one. */
  readonly recall: number | undefined;
  readonly events: readonly EventRow[];
  readonly rounds: readonly RoundRow[];
}

/**
 * What the command prints for `args`; relative paths are meant from `folder`.
 * @throws SourceError for a file that cannot be read; FormatError for one that is no trace; UsageError for arguments.
 */
export async function replay(args: readonly string[], folder: string): Promise<string> {
  const request = parseReplayArguments(args);
  const replays: TraceReplay[] = [];
  for (const path of request.traces) replays.push(await replayFile(resolve(folder, path), request));
  if (request.json) return JSON.stringify(replays.map(plain), null, 2);
  return [...replays.flatMap((done) => tablesOf(done, request)), ...assumptions(request)].join("\n");
}

async function replayFile(path: string, request: ReplayArguments): Promise<TraceReplay> {
  const { trace, numExperts } = await readTrace(path, request.experts);
  const steps = stepsOf(trace, request.phase);
  const name = basename(path);
  if (steps.length === 0)
    throw new UsageError(`${name} has no steps of the phase "${request.phase}". Try --phase all.`);
  return {
    name,
    numExperts,
    numLayers: trace.layers.length,
    topK: trace.topK,
    tokens: steps.length,
    recall: request.prefetch === "none" ? undefined : guessRecall(request.prefetch, steps, numExperts, request.guesses),
    events: eventRows(steps, numExperts, request),
    rounds: roundRows(steps, numExperts, trace.topK, request),
  };
}

async function readTrace(path: string, experts: number | undefined): Promise<PackedTrace> {
  const text = await readText(path);
  try {
    if (text.startsWith(PACKED_MARK)) return unpackTrace(text);
    const trace = parseTrace(text);
    if (experts !== undefined && experts < trace.numExpertsSeen) {
      throw new UsageError(`--experts ${experts}: the trace has expert ${trace.numExpertsSeen - 1}`);
    }
    return { trace, numExperts: experts ?? trace.numExpertsSeen };
  } catch (error) {
    throw error instanceof FormatError ? new FormatError(`${basename(path)}: ${error.message}`) : error;
  }
}

async function readText(path: string): Promise<string> {
  const unreadable = (error: unknown): never => {
    throw new SourceError(`${path}: ${error instanceof Error ? error.message : String(error)}`);
  };
  const { size } = await stat(path).catch(unreadable);
  if (size > MAX_TRACE_BYTES) {
    throw new FormatError(`${path}: expected at most ${humanBytes(MAX_TRACE_BYTES)}, the file has ${humanBytes(size)}`);
  }
  const bytes = await readFile(path).catch(unreadable);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.toString("utf8");
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_TRACE_BYTES }).toString("utf8");
  } catch (error) {
    throw new FormatError(`${path}: expected gzip of ${humanBytes(MAX_TRACE_BYTES)} at most: ${String(error)}`);
  }
}

function eventRows(steps: readonly TraceStep[], numExperts: number, request: ReplayArguments): EventRow[] {
  const { policies, prefetch, guesses, link } = request;
  return request.capacities.flatMap((capacity) => {
    const slots = slotsFor(capacity, numExperts);
    return policies.map((policy) => {
      const counts = replayEvents(steps, { policy, slotsPerLayer: slots, numExperts, prefetch, guesses });
      return { policy, slots, counts, cost: link && eventCost(counts, link) };
    });
  });
}

/** Fewer slots than experts of one event cannot run: there are no rows for them. */
function roundRows(
  steps: readonly TraceStep[],
  numExperts: number,
  topK: number,
  request: ReplayArguments,
): RoundRow[] {
  const { policies, runAheads, prefetch, guesses, hintAccuracy, seed, link } = request;
  const slotCounts = request.capacities
    .map((capacity) => slotsFor(capacity, numExperts))
    .filter((slots) => slots >= topK);
  return slotCounts.flatMap((slots) =>
    policies.flatMap((policy) =>
      runAheads.map((runAhead) => {
        const options = { policy, slotsPerLayer: slots, numExperts, prefetch, guesses, runAhead, hintAccuracy, seed };
        const counts = replayRounds(steps, options);
        return { policy, slots, runAhead, counts, cost: link && roundCost(counts, link) };
      }),
    ),
  );
}

/** Maps become objects, and Infinity a word, so that JSON holds them. */
function plain({ events, rounds, ...facts }: TraceReplay): unknown {
  const counted = (counts: ReplayCounts | RoundCounts) =>
    Object.fromEntries(
      Object.entries(counts).map(([name, value]) => [name, value instanceof Map ? Object.fromEntries(value) : value]),
    );
  return {
    ...facts,
    events: events.map((row) => ({ ...row, counts: counted(row.counts) })),
    rounds: rounds.map((row) => ({
      ...row,
      runAhead: Number.isFinite(row.runAhead) ? row.runAhead : "all",
      counts: counted(row.counts),
    })),
  };
}

function tablesOf(done: TraceReplay, request: ReplayArguments): string[] {
  const { name, tokens, numLayers, numExperts, topK, recall } = done;
  const lines = [`${name}: ${tokens} tokens, ${numLayers} MoE layers of ${numExperts} experts, top ${topK}`];
  if (recall !== undefined) {
    lines.push(`${request.prefetch} names ${percent(recall)} % of a layer's experts in ${request.guesses} guesses`);
  }
  lines.push("", "Events: hits before the event, guesses beside the slots", ...table(done.events.map(eventCells)), "");
  if (done.rounds.length > 0) {
    lines.push(
      "Decode in rounds: the whole token, then again from the first miss",
      ...table(done.rounds.map(roundCells)),
      "",
    );
  }
  return lines;
}

type Cells = Readonly<Record<string, string>>;

function eventCells({ policy, slots, counts, cost }: EventRow): Cells {
  return {
    ...commonCells(policy, slots, counts),
    "clean layers %": share(counts.cleanEvents, counts.events),
    ...costCells(cost),
  };
}

function roundCells({ policy, slots, runAhead, counts, cost }: RoundRow): Cells {
  const { "hit %": hit = "", ...rest } = commonCells(policy, slots, counts);
  return {
    policy: rest.policy ?? "",
    slots: rest.slots ?? "",
    "run-ahead": Number.isFinite(runAhead) ? String(runAhead) : "all",
    "rounds/token": (counts.rounds / counts.tokens).toFixed(2),
    "clean steps %": share(counts.cleanSteps, counts.tokens),
    "hit %": hit,
    ...rest,
    ...costCells(cost),
  };
}

function commonCells(policy: string, slots: number, counts: ReplayCounts): Cells {
  return {
    policy,
    slots: String(slots),
    "hit %": share(counts.hits, counts.picks),
    "timely %": share(counts.timely, counts.picks),
    "stalled %": share(counts.demandLoads, counts.picks),
    "first touch %": share(counts.firstTouches, counts.picks),
    "loads/token": ((counts.demandLoads + counts.guessLoads) / counts.tokens).toFixed(1),
    "wasted/token": (counts.wasted / counts.tokens).toFixed(1),
    "evictions/token": (counts.evictions / counts.tokens).toFixed(1),
  };
}

function costCells(cost: Cost | undefined): Cells {
  if (!cost) return {};
  return {
    "bytes/token": humanBytes(cost.bytes),
    "stall ms": cost.stallMs.toFixed(1),
    "ms/token": cost.tokenMs.toFixed(1),
  };
}

function share(part: number, whole: number): string {
  return percent(part / Math.max(1, whole));
}

function percent(value: number): string {
  return (100 * value).toFixed(1);
}

/** Rows under the names of their cells; the first column reads from the left, numbers from the right. */
function table(rows: readonly Cells[]): string[] {
  const names = Object.keys(rows[0] ?? {});
  const widths = names.map((name) => Math.max(name.length, ...rows.map((row) => (row[name] ?? "").length)));
  const line = (cells: readonly string[]) =>
    `  ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join("  ")}`;
  return [line(names), ...rows.map((row) => line(names.map((name) => row[name] ?? "")))];
}

function assumptions({ phase, hintAccuracy, seed, link }: ReplayArguments): string[] {
  const lines = [
    `Replayed: ${phase === "all" ? "prefill tokens one by one, then decode" : phase}, cold at the first token; slots of a layer are its own.`,
    `Modelled: behind a miss, later layers show ${percent(hintAccuracy)} % of their final experts (--hint-accuracy, seed ${seed}).`,
  ];
  if (!link) return lines;
  const rate = `${humanBytes(link.bytesPerMs * 1000)}/s`;
  return [
    ...lines,
    `Link: ${humanBytes(link.expertBytes)} an expert, ${link.latencyMs} ms once a batch, ${rate}; layer ${link.layerMs} ms, round trip ${link.roundtripMs} ms.`,
    "Events pay a round trip a layer, and guesses travel under the layer before; rounds wait for the whole fetch.",
  ];
}
