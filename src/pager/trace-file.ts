/**
 * Reads a routing trace back: the rows that `RoutingTrace` records, `turn,phase,step,layer,rank,expert,weight`, grouped
 * into steps of one token with one event for every MoE layer. A trace is a stranger's file: counts are bounded before
 * anything is sized by them, and a decoded step must name every layer with all its ranks.
 */
import { FormatError } from "../errors.ts";

/**
 * One token's routing: the experts of every MoE layer, [MoE layers][topK] in rank order. Of a prefill token a layer may be
 * empty: runtimes that need only the last token's logits leave the others out of the last layer.
 */
export interface TraceStep {
  readonly turn: number;
  /** 0 prefill, 1 decode. */
  readonly phase: 0 | 1;
  /** Position of the token, as recorded. */
  readonly step: number;
  readonly experts: readonly (readonly number[])[];
}

export interface Trace {
  /** Indices of the MoE layers in the model, ascending. */
  readonly layers: readonly number[];
  /** Highest expert id + 1: what can be known of the expert count from choices alone. */
  readonly numExpertsSeen: number;
  /** Most experts of one event. */
  readonly topK: number;
  readonly steps: readonly TraceStep[];
}

/** A row without its weight, which no replay needs. */
export type ChoiceRow = readonly [
  turn: number,
  phase: number,
  step: number,
  layer: number,
  rank: number,
  expert: number,
  ...weight: number[],
];

const COLUMNS = ["turn", "phase", "step", "layer", "rank", "expert", "weight"] as const;

/** One more than the largest value of a column. Models of today have 512 experts and 61 layers at most. */
const LIMITS = [1e6, 2, 1e8, 4096, 256, 65_536] as const;

/** 100 thousand tokens of 48 layers of 8: more than a replay is of use for, less than what fills the memory. */
const MAX_ROWS = 40_000_000;

/**
 * Groups `rows` into steps, in order of first appearance; rows of one step need not stand together (a file may go layer
 * by layer). A (turn, phase, step) that begins again, as after a rewind, is a step of its own.
 * @throws FormatError for a value out of range, a missing or repeated rank, a decoded step without one of the layers.
 */
export function buildTrace(rows: Iterable<ChoiceRow>): Trace {
  const open = new Map<string, OpenStep>();
  const steps: OpenStep[] = [];
  let rowNumber = 0;
  for (const row of rows) {
    rowNumber += 1;
    if (rowNumber > MAX_ROWS) throw new FormatError(`trace: expected at most ${MAX_ROWS} rows, there are more`);
    checkRow(row, rowNumber);
    const [turn, phase, step, layer, rank, expert] = row;
    const key = `${turn},${phase},${step}`;
    let into = open.get(key);
    if (!into || into.events.get(layer)?.[rank] !== undefined) {
      into = { turn, phase: phase === 0 ? 0 : 1, step, events: new Map() };
      open.set(key, into);
      steps.push(into);
    }
    const event = into.events.get(layer);
    if (event) event[rank] = expert;
    else into.events.set(layer, withRank(rank, expert));
  }
  if (steps.length === 0) throw new FormatError("trace: expected rows of choices, there are none");
  return closeSteps(steps);
}

interface OpenStep {
  readonly turn: number;
  readonly phase: 0 | 1;
  readonly step: number;
  readonly events: Map<number, number[]>;
}

function withRank(rank: number, expert: number): number[] {
  const event: number[] = [];
  event[rank] = expert;
  return event;
}

function checkRow(row: ChoiceRow, rowNumber: number): void {
  for (const [column, limit] of LIMITS.entries()) {
    const value = row[column] ?? Number.NaN;
    if (Number.isInteger(value) && value >= 0 && value < limit) continue;
    const expected = `a whole number below ${limit}`;
    throw new FormatError(`trace, row ${rowNumber}: ${COLUMNS[column]}: expected ${expected}, got ${value}`);
  }
}

function closeSteps(open: readonly OpenStep[]): Trace {
  const layers = [...new Set(open.flatMap(({ events }) => [...events.keys()]))].sort((a, b) => a - b);
  let numExpertsSeen = 0;
  let topK = 0;
  const steps = open.map(({ turn, phase, step, events }): TraceStep => {
    const experts = layers.map((layer) => {
      const event = events.get(layer);
      const where = `trace, turn ${turn}, phase ${phase}, step ${step}, layer ${layer}`;
      if (!event && phase === 0) return [];
      if (!event) throw new FormatError(`${where}: expected experts as in the other steps, there are none`);
      if (event.includes(undefined as never)) throw new FormatError(`${where}: a rank is missing, of ${event.length}`);
      if (new Set(event).size < event.length) throw new FormatError(`${where}: one expert at two ranks`);
      topK = Math.max(topK, event.length);
      for (const expert of event) numExpertsSeen = Math.max(numExpertsSeen, expert + 1);
      return event;
    });
    return { turn, phase, step, experts };
  });
  return { layers, numExpertsSeen, topK, steps };
}

/**
 * Reads the text of a trace. The header line is optional, lines that begin with `#` are comments, and the weight may be
 * left out of every row.
 * @throws FormatError naming the line.
 */
export function parseTrace(text: string): Trace {
  return buildTrace(rowsOf(text));
}

function* rowsOf(text: string): Generator<ChoiceRow> {
  let mayBeHeader = true;
  let number = 0;
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(start, end).trim();
    start = end + 1;
    number += 1;
    if (line === "" || line.startsWith("#")) continue;
    if (mayBeHeader && line.startsWith("turn")) checkHeader(line, number);
    else yield parseRow(line, number);
    mayBeHeader = false;
  }
}

function checkHeader(line: string, number: number): void {
  const expected = COLUMNS.join(",");
  if (line === expected || line === COLUMNS.slice(0, -1).join(",")) return;
  throw new FormatError(`trace, line ${number}: expected the columns ${expected}, got "${line.slice(0, 120)}"`);
}

function parseRow(line: string, number: number): ChoiceRow {
  const fields = line.split(",", COLUMNS.length + 1);
  const [turn, phase, step, layer, rank, expert, weight = 0] = fields.map((field) =>
    /^\s*[-+.\d]/.test(field) ? Number(field) : Number.NaN,
  );
  const wrongCount = fields.length < COLUMNS.length - 1 || fields.length > COLUMNS.length;
  const all = [turn, phase, step, layer, rank, expert, weight];
  if (wrongCount || !all.every((value) => Number.isFinite(value))) {
    throw new FormatError(`trace, line ${number}: expected numbers ${COLUMNS.join(",")}, got "${line.slice(0, 120)}"`);
  }
  return all as unknown as ChoiceRow;
}
