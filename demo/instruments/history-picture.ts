/**
 * Draws the last steps side by side: above, a row for every MoE layer, the warmer the more of its choices had to be fetched;
 * below, a bar for every step, stacked by where its time went. One column is one step.
 */
import type { StepEvent } from "../../src/index.ts";
import { TIME_PARTS } from "./time-parts.ts";

export const HEAT_HEIGHT = 54;
export const BARS_HEIGHT = 54;
const GAP = 6;
export const PICTURE_HEIGHT = HEAT_HEIGHT + GAP + BARS_HEIGHT;
/** Fewer steps than this leave room at the right, so that a column's width does not jump with every token. */
const LEAST_COLUMNS = 30;

export interface HistoryColours {
  readonly calm: string;
  readonly hot: string;
  readonly ground: string;
  readonly cursor: string;
  /** In the order of `TIME_PARTS`. */
  readonly parts: readonly string[];
}

/** Width of a column where `width` pixels hold `count` steps. */
export function columnWidth(width: number, count: number): number {
  return width / Math.max(LEAST_COLUMNS, count);
}

/** The share of the width that `count` steps take. */
export function shareOfWidth(count: number): number {
  return count / Math.max(LEAST_COLUMNS, count);
}

/** The time that fills a bar's height: that of the slowest decoded token, for a long prompt would hide all others. */
export function barScale(steps: readonly StepEvent[]): number {
  const decoded = steps.filter(({ phase }) => phase === "decode");
  return Math.max(1, ...(decoded.length > 0 ? decoded : steps).map(({ ms }) => ms));
}

/** @param at the step to mark. */
export function drawHistory(
  context: CanvasRenderingContext2D,
  width: number,
  steps: readonly StepEvent[],
  at: number | null,
  colours: HistoryColours,
): void {
  const column = columnWidth(width, steps.length);
  const inner = Math.max(0.6, column - (column > 3 ? 1 : 0));
  context.clearRect(0, 0, width, PICTURE_HEIGHT);
  context.fillStyle = colours.ground;
  context.fillRect(0, HEAT_HEIGHT - 1, width, 1);
  context.fillRect(0, PICTURE_HEIGHT - 1, width, 1);
  const scale = barScale(steps);
  steps.forEach((step, index) => {
    drawHeat(context, index * column, inner, step, colours);
    drawBar(context, index * column, inner, step, scale, colours);
  });
  if (at === null || !steps[at]) return;
  context.strokeStyle = colours.cursor;
  context.lineWidth = 1.5;
  context.strokeRect(at * column - 0.75, 0.75, inner + 1.5, PICTURE_HEIGHT - 1.5);
}

function drawHeat(
  context: CanvasRenderingContext2D,
  x: number,
  width: number,
  { layers }: StepEvent,
  { calm, hot }: HistoryColours,
): void {
  const height = (HEAT_HEIGHT - 2) / Math.max(1, layers.length);
  layers.forEach(({ chosen, fetched }, row) => {
    const box = [x, row * height, width, Math.max(0.6, height - (height > 4 ? 1 : 0))] as const;
    context.fillStyle = calm;
    context.globalAlpha = 0.35;
    context.fillRect(...box);
    const missed = chosen.filter((expert) => fetched.includes(expert)).length;
    context.fillStyle = hot;
    context.globalAlpha = chosen.length > 0 ? missed / chosen.length : 0;
    context.fillRect(...box);
  });
  context.globalAlpha = 1;
}

function drawBar(
  context: CanvasRenderingContext2D,
  x: number,
  width: number,
  { ms, times }: StepEvent,
  scale: number,
  { parts }: HistoryColours,
): void {
  const shown = Math.min(1, ms / scale);
  let bottom = PICTURE_HEIGHT - 1;
  TIME_PARTS.forEach(({ name }, i) => {
    const height = ms > 0 ? (times[name] / ms) * shown * (BARS_HEIGHT - 1) : 0;
    context.fillStyle = parts[i] ?? "";
    context.fillRect(x, bottom - height, width, height);
    bottom -= height;
  });
}
