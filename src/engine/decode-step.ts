/**
 * One decode step: submit the whole token, read back what it chose, and stand by it when every chosen expert was
 * resident. Otherwise fetch, and run again from the first MoE layer that missed one; nothing computed behind a miss is
 * used but as a hint of what later layers, and the next token, are likely to want. A step is started and finished apart, so
 * that the next one can be queued in between; when the first one misses, the GPU halts what was queued behind it.
 */
import { type ReadTimes, readTimes, type Span } from "../gpu/queue.ts";
import type { Patience } from "../pager/pager.ts";
import { ABSENT } from "../pager/slot-table.ts";
import { missingOf, type Want } from "../pager/wants.ts";
import type { DecodePlan } from "./decode.ts";
import type { Parts } from "./parts.ts";
import { type Routing, unpackRouting } from "./routing.ts";
import type { Reach, RunAhead } from "./run-ahead.ts";
import { scout } from "./scout.ts";
import { decodeRecordBytes, unhalt, writeStep } from "./scratch.ts";
import { moeLayers } from "./sizes.ts";
import type { StepClock } from "./step-clock.ts";

export interface StepRequest {
  readonly plan: DecodePlan;
  /** Token id, or `null` for the one that the step before leaves on the GPU: this one is queued behind it. */
  readonly id: number | null;
  readonly position: number;
  /** Draw of the next token behind the forward pass: its `Sampling` uniform. */
  readonly draw?: ArrayBuffer | undefined;
  /** Its draw may be run while it waits, to learn what that wants: there is a place for it in the cache. */
  readonly mayScout?: boolean | undefined;
  /** What to read back beside the routing. */
  readonly reads: readonly Span[];
}

/** A step whose first round is on its way. */
export interface StartedStep extends StepRequest {
  readonly reach: Reach;
  readonly round: Promise<ArrayBuffer>;
  readonly startedAt: number;
  /** Of the first round. */
  readonly times: ReadTimes;
}

export interface StepResult {
  /** Final routing of every MoE layer. */
  readonly routing: readonly Routing[];
  /** Bytes of `reads`, one after another. */
  readonly bytes: ArrayBuffer;
  /** Submissions that the step took, and those of scouts behind it. */
  readonly rounds: number;
  readonly scouts: number;
}

const NO_EXPERT = 0xffff_ffff;

/** Writes what the step needs and submits its first round. `exact`: somebody wants to know where its time goes. */
export function startStep(parts: Parts, runAhead: RunAhead, request: StepRequest, exact: boolean): StartedStep {
  const { id, draw, mayScout } = request;
  const reach = draw && mayScout ? runAhead.reach : withinToken(parts, runAhead.reach);
  if (id !== null) {
    parts.gpu.queue.write(parts.scratch.buffers.ids, 0, new Uint32Array([id]));
    unhalt(parts.gpu, parts.scratch);
  }
  const times = readTimes(exact);
  const round = submitRound(parts, request, reach, 0, times);
  round.catch(() => {}); // whoever finishes or drops the step hears of it
  return { ...request, reach, round, startedAt: performance.now(), times };
}

/** Sees a started step through. @throws what a fetch throws; `AbortError`; DeviceError. */
export async function finishStep(
  parts: Parts,
  runAhead: RunAhead,
  step: StartedStep,
  clock: StepClock,
  signal: AbortSignal | undefined,
): Promise<StepResult> {
  const { plan, reach } = step;
  const asked = performance.now();
  const moe = moeLayers(parts.spec);
  const rowBytes = 3 * parts.sizes.topK * 4;
  let scouts = 0;
  let from = -1;
  let { round, times } = step;
  let since = step.id === null ? undefined : step.startedAt;
  for (let rounds = 1; ; rounds++) {
    const bytes = await round;
    clock.ranAndRead(times, asked);
    if (parts.allResident) return { routing: [], bytes, rounds, scouts };
    const routing = moe.map(({ mlp }, i) => unpackRouting(bytes, i * rowBytes, 1, mlp.topK));
    const first = routing.findIndex(({ slots }) => slots.includes(ABSENT));
    const missed = first < 0 ? undefined : first;
    const computed =
      (missed === undefined ? moe.length : Math.min(moe.length, first + reach.layers)) - Math.max(0, from);
    if (since !== undefined) runAhead.roundTook(computed, performance.now() - since);
    const report = { from, missed, guessed: rounds > 1 ? reach : undefined };
    runAhead.roundEnded(report);
    if (missed === undefined) {
      runAhead.stepEnded(step.mayScout ?? false);
      return { routing, bytes: bytes.slice(decodeRecordBytes(parts.sizes)), rounds, scouts };
    }
    const wants = wantedExperts(parts, bytes, routing, first, reach);
    const scouting = scoutNext(parts, runAhead, step);
    const patience = { signal, graceMs: runAhead.roundMs(moe.length - first) };
    const fetching = fetchWanted(parts, runAhead, wants, reach, patience, clock);
    await Promise.allSettled([fetching, scouting]); // what a scout wants is asked for before anything else can run
    scouts += await scouting;
    const { missing, ms } = await fetching;
    runAhead.fetchTook(report, missing, ms);
    from = first;
    unhalt(parts.gpu, parts.scratch);
    since = performance.now();
    times = readTimes(clock.exact);
    round = submitRound(parts, step, reach, plan.replayAt[first] ?? 0, times);
  }
}

/** Runs the step from command `from` on. Its uniforms are written each time: a step queued behind it has its own. */
function submitRound(
  parts: Parts,
  step: StepRequest,
  reach: Reach,
  from: number,
  times: ReadTimes,
): Promise<ArrayBuffer> {
  const { gpu, scratch } = parts;
  const { plan, position, draw, reads } = step;
  writeStep(gpu, scratch, position, 1, reach);
  if (draw) gpu.queue.write(scratch.sampling, 0, draw);
  const bytes = decodeRecordBytes(parts.sizes);
  const spans =
    bytes > 0 && !parts.allResident ? [{ buffer: scratch.buffers.routing, offset: 0, bytes }, ...reads] : reads;
  const commands = plan.forward.slice(from);
  return gpu.queue.submitAndRead(draw ? [...commands, plan.sample] : commands, spans, times);
}

/** For a step behind which no token is run. */
function withinToken({ sizes }: Parts, { layers, hints }: Reach): Reach {
  return { layers: Math.min(layers, sizes.numMoeLayers), hints };
}

/**
 * Where the step runs on into the next token: learns what that wants and has it read, which nobody waits for. Never rejects.
 * @returns scouts that ran.
 */
async function scoutNext(parts: Parts, runAhead: RunAhead, step: StartedStep): Promise<number> {
  const layers = step.reach.layers - parts.sizes.numMoeLayers;
  if (layers <= 0) return 0;
  parts.pager.guess(await scout(parts, step, layers));
  runAhead.scouted(layers);
  return 1;
}

/**
 * Waits for what the missing layer demands, and for guesses as long as a round takes: a round is what is lost when a layer
 * misses an expert that was about to come, so waiting longer costs more than it can save.
 */
async function fetchWanted(
  { pager }: Parts,
  runAhead: RunAhead,
  wants: readonly Want[],
  reach: Reach,
  patience: Patience,
  clock: StepClock,
): Promise<{ missing: number; ms: number }> {
  const missing = missingOf(wants, (moe, expert) => pager.isResident(moe, expert));
  for (const layer of new Set(wants.map(({ moe }) => moe))) {
    const guessed = wants.every(({ moe, guess }) => moe !== layer || guess);
    runAhead.wanted(missing.filter(({ moe }) => moe === layer).length, guessed ? reach : undefined);
  }
  const { placeMs } = pager.counts;
  const start = performance.now();
  clock.until("compute", start);
  await pager.acquire(wants, patience);
  const ms = performance.now() - start;
  clock.fetched(pager.counts.placeMs - placeMs);
  return { missing: missing.length, ms };
}

/** What the first missing layer demands, what it predicts for the next, and what the layers within reach seemed to want. */
function wantedExperts(
  { sizes }: Parts,
  bytes: ArrayBuffer,
  routing: readonly Routing[],
  first: number,
  reach: Reach,
): Want[] {
  const words = (at: number, count: number) => {
    return [...new Uint32Array(bytes, at * 4, count)].filter((expert) => expert !== NO_EXPERT);
  };
  const chosen = (moe: number) => [...(routing[moe]?.expertIds ?? [])];
  const wants: Want[] = [{ moe: first, experts: chosen(first), guess: false }];
  const within = routing.map((_, moe) => moe).slice(first + 1, first + 1 + reach.layers);
  for (const moe of within) wants.push({ moe, experts: chosen(moe), guess: true });
  // The likelier ones of all layers go first.
  for (const moe of within) {
    wants.push({ moe, experts: words(sizes.hintsAt + moe * sizes.hints, reach.hints), guess: true });
  }
  if (sizes.predictions > 0 && first + 1 < routing.length) {
    const experts = words(sizes.predictionsAt + first * 3 * sizes.predictions, sizes.predictions);
    wants.push({ moe: first + 1, experts, guess: true });
  }
  return wants;
}
