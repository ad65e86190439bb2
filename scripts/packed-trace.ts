/**
 * Traces in a tenth of their space, for keeping: a line `turn,phase,step:CHOICES` for every step, with two hexadecimal
 * digits for every expert, layer by layer in rank order, and a dot for a layer without choices. `# layers N`, `# topK N` and `# experts N` come before them;
 * other lines that begin with `#` are comments. Routing weights are not kept: no replay reads them.
 */
import { FormatError } from "../src/errors.ts";
import { buildTrace, type ChoiceRow, type Trace } from "../src/pager/trace-file.ts";

/** The first line of a packed trace. */
export const PACKED_MARK = "# packed routing trace";

export interface PackedTrace {
  readonly trace: Trace;
  /** Experts of every MoE layer. */
  readonly numExperts: number;
}

/** @throws FormatError naming the line. */
export function unpackTrace(text: string): PackedTrace {
  const lines = text.split("\n").map((line) => line.trim());
  if (lines[0] !== PACKED_MARK) throw new FormatError(`packed trace: expected the first line "${PACKED_MARK}"`);
  const [numLayers, topK, numExperts] = ["layers", "topK", "experts"].map((name) => headerNumber(lines, name));
  const trace = buildTrace(rowsOf(lines, numLayers ?? 0, topK ?? 0));
  if (trace.numExpertsSeen > (numExperts ?? 0)) {
    throw new FormatError(`packed trace: expected experts below ${numExperts}, got ${trace.numExpertsSeen - 1}`);
  }
  return { trace, numExperts: numExperts ?? 0 };
}

/** A trace's text in packed form; `about` are comment lines on where it comes from. */
export function packTrace(trace: Trace, numExperts: number, about: readonly string[]): string {
  const head = [PACKED_MARK, `# layers ${trace.layers.length}`, `# topK ${trace.topK}`, `# experts ${numExperts}`];
  const steps = trace.steps.map(({ turn, phase, step, experts }) => {
    const choices = experts.map((event) => event.map((id) => id.toString(16).padStart(2, "0")).join("") || ".");
    return `${turn},${phase},${step}:${choices.join("")}`;
  });
  return `${[...head, ...about.map((line) => `# ${line}`), ...steps].join("\n")}\n`;
}

function headerNumber(lines: readonly string[], name: string): number {
  const line = lines.find((candidate) => candidate.startsWith(`# ${name} `)) ?? "";
  const value = Number(line.slice(name.length + 3));
  if (/ [1-9]\d{0,3}$/.test(line)) return value;
  throw new FormatError(`packed trace: expected a line "# ${name} N" with N of 1 to 9999, got "${line}"`);
}

function* rowsOf(lines: readonly string[], numLayers: number, topK: number): Generator<ChoiceRow> {
  for (const [index, line] of lines.entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const match = /^(\d+),(\d+),(\d+):([0-9a-f.]+)$/.exec(line);
    const events = match?.[4]?.match(/\.|[0-9a-f]+/g)?.flatMap((run) => eventsOf(run, topK)) ?? [];
    if (!match || events.length !== numLayers || events.some((event) => !isEvent(event, topK))) {
      throw new FormatError(
        `packed trace, line ${index + 1}: expected turn,phase,step: and ${topK} experts for each of ${numLayers} layers`,
      );
    }
    const [turn, phase, step] = [Number(match[1]), Number(match[2]), Number(match[3])];
    for (const [layer, event] of events.entries()) {
      for (const [rank, expert] of event.entries()) yield [turn, phase, step, layer, rank, expert];
    }
  }
}

/** Whole: all its experts, or none. */
function isEvent(event: readonly number[], topK: number): boolean {
  return event.length === 0 || (event.length === topK && !event.includes(Number.NaN));
}

/** The events of a run without a dot, or the empty one of a dot. */
function eventsOf(run: string, topK: number): number[][] {
  if (run === ".") return [[]];
  const ids = (run.match(/.{1,2}/g) ?? []).map((digits) =>
    digits.length === 2 ? Number.parseInt(digits, 16) : Number.NaN,
  );
  return Array.from({ length: Math.ceil(ids.length / topK) }, (_, i) => ids.slice(i * topK, (i + 1) * topK));
}
