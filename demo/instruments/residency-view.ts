/**
 * The live picture of the paging: experts as spines on shelves, a shelf for every MoE layer. A state has a shape as
 * well as a colour (absent: a stub; resident; chosen: taller; just fetched: a cap above either; evicted: hollow), so
 * the picture reads without colour. Frames are drawn only while something changes.
 */
import type { ResidencyLayer, StepEvent } from "../../src/index.ts";
import { setText } from "../dom.ts";
import { type Cell, countResident, MARK_MS, ResidencyState, type Shelf } from "./residency-state.ts";
import { cellAt, layOut, type ShelfLayout } from "./shelf-layout.ts";

const HEIGHTS = { absent: 0.14, resident: 0.6, chosen: 0.8 } as const;
/** A just fetched expert wears a cap this high, up to the full height of its cell. */
const CAP = 0.5;
const SUMMARY_MS = 1000;

interface Palette {
  readonly absent: string;
  readonly resident: string;
  readonly chosen: string;
  readonly fetched: string;
  readonly evicted: string;
  readonly board: string;
  readonly text: string;
  readonly font: string;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** The elements that the view draws into; it makes none. */
export interface ResidencyElements {
  readonly canvas: HTMLCanvasElement;
  /** Around the canvas; scrolls where the shelves are many. */
  readonly scroll: HTMLElement;
  readonly summary: HTMLElement;
  /** Says what is under the pointer. */
  readonly cell: HTMLElement;
}

/** A step that is over, and who was resident before and after it. */
export interface PastStep {
  readonly event: StepEvent;
  readonly before: readonly ResidencyLayer[];
  readonly after: readonly ResidencyLayer[];
}

export class ResidencyView {
  readonly #canvas: HTMLCanvasElement;
  readonly #scroll: HTMLElement;
  readonly #summary: HTMLElement;
  readonly #cellText: HTMLElement;
  readonly #ended = new AbortController();
  readonly #resized = new ResizeObserver(() => this.#resize());
  readonly #state = new ResidencyState();
  /** What is shown instead while the reader looks back. */
  #past: ResidencyState | null = null;
  readonly #still = matchMedia("(prefers-reduced-motion: reduce)");
  #layout: ShelfLayout = layOut(300, 0, 0);
  #palette: Palette | null = null;
  #frame = 0;
  #activeUntil = 0;
  #summaryAt = -Infinity;

  constructor({ canvas, scroll, summary, cell }: ResidencyElements) {
    this.#canvas = canvas;
    this.#scroll = scroll;
    this.#summary = summary;
    this.#cellText = cell;
    const { signal } = this.#ended;
    this.#resized.observe(scroll);
    const repaint = () => {
      this.#palette = null;
      this.#wake();
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint, { signal });
    canvas.addEventListener("pointermove", (event) => this.#point(event), { signal });
    canvas.addEventListener("pointerleave", () => setText(this.#cellText, ""), { signal });
  }

  /** Draws and listens no more. */
  dispose(): void {
    this.#ended.abort();
    this.#resized.disconnect();
    cancelAnimationFrame(this.#frame);
  }

  get residents(): number {
    return this.#state.residents;
  }

  get experts(): number {
    return this.#state.experts;
  }

  /** A new model, or none. */
  reset(snapshot: readonly ResidencyLayer[]): void {
    this.#state.reset(snapshot);
    setText(this.#cellText, "");
    this.#resize();
    this.#wake(true);
  }

  /** Who is resident now. */
  snapshot(): ResidencyLayer[] {
    return this.#state.shelves.map(({ layer, cells }) => ({ layer, resident: cells.map((cell) => cell.resident) }));
  }

  /** Shows an earlier step with its marks; `null` shows what is now. */
  lookBack(step: PastStep | null): void {
    this.#past = step ? new ResidencyState() : null;
    if (step) {
      this.#past?.reset(step.before);
      this.#past?.apply(step.event, 0);
      this.#past?.sync(step.after, 0);
    }
    this.#wake(true);
  }

  get #shown(): ResidencyState {
    return this.#past ?? this.#state;
  }

  /** The same model after a change of budget, or to be sure. */
  sync(snapshot: readonly ResidencyLayer[]): void {
    this.#state.sync(snapshot, performance.now());
    this.#wake(true);
  }

  /** @returns whether a snapshot is needed to know who is resident. */
  apply(event: StepEvent): boolean {
    const open = this.#state.apply(event, performance.now());
    this.#wake();
    return open;
  }

  /** The answer ended: the last choice fades from the picture. */
  rest(): void {
    this.#state.rest();
    this.#wake(true);
  }

  #wake(summariseNow = false): void {
    const now = performance.now();
    this.#activeUntil = now + MARK_MS + 50;
    if (summariseNow || now - this.#summaryAt > SUMMARY_MS) this.#summarise(now);
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #resize(): void {
    const width = this.#scroll.clientWidth;
    if (width === 0) return;
    const cells = Math.max(0, ...this.#shown.shelves.map((shelf) => shelf.cells.length));
    this.#layout = layOut(width, this.#shown.shelves.length, cells);
    const scale = window.devicePixelRatio || 1;
    this.#canvas.width = Math.round(this.#layout.width * scale);
    this.#canvas.height = Math.round(this.#layout.height * scale);
    this.#canvas.style.width = `${this.#layout.width}px`;
    this.#canvas.style.height = `${this.#layout.height}px`;
    const folded = this.#scroll.scrollHeight > this.#scroll.clientHeight + 1;
    if (folded) this.#scroll.tabIndex = 0;
    else this.#scroll.removeAttribute("tabindex");
    this.#wake();
  }

  #draw(): void {
    this.#frame = 0;
    const context = this.#canvas.getContext("2d");
    if (!context) return;
    const now = performance.now();
    this.#palette ??= readPalette(this.#canvas);
    const palette = this.#palette;
    const scale = this.#canvas.width / this.#layout.width;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, this.#layout.width, this.#layout.height);
    this.#shown.shelves.forEach((shelf, index) => {
      this.#drawShelf(context, palette, shelf, index * this.#layout.shelfHeight, now);
    });
    if (now < this.#activeUntil) this.#frame = requestAnimationFrame(() => this.#draw());
  }

  #drawShelf(context: CanvasRenderingContext2D, palette: Palette, shelf: Shelf, top: number, now: number): void {
    const { left, perLine, cellWidth, cellHeight, lineHeight, linesPerShelf } = this.#layout;
    const gap = cellWidth >= 6 ? 2 : cellWidth >= 3 ? 1 : 0.4;
    context.fillStyle = palette.board;
    for (let line = 0; line < linesPerShelf; line++) {
      context.fillRect(left, top + line * lineHeight + cellHeight, perLine * cellWidth - gap, 1);
    }
    shelf.cells.forEach((cell, expert) => {
      const x = left + (expert % perLine) * cellWidth;
      const y = top + Math.floor(expert / perLine) * lineHeight;
      this.#drawCell(context, palette, cell, { x, y, width: cellWidth - gap, height: cellHeight }, now);
    });
    this.#drawLabels(context, palette, shelf, top + (lineHeight * linesPerShelf) / 2);
  }

  #drawLabels(context: CanvasRenderingContext2D, palette: Palette, shelf: Shelf, middle: number): void {
    context.fillStyle = palette.text;
    context.font = palette.font;
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.fillText(`L${shelf.layer}`, 0, middle);
    context.textAlign = "right";
    context.fillText(`${countResident(shelf)}/${shelf.cells.length}`, this.#layout.width, middle);
  }

  #drawCell(context: CanvasRenderingContext2D, palette: Palette, cell: Cell, box: Box, now: number): void {
    const fetched = this.#mark(now - cell.fetchedAt);
    const evicted = this.#mark(now - cell.evictedAt);
    if (cell.resident) {
      const state = cell.chosen ? "chosen" : "resident";
      fill(context, palette[state], lower(box, HEIGHTS[state]), 1);
      if (fetched > 0) fill(context, palette.fetched, { ...box, height: box.height * CAP }, fetched);
    } else {
      fill(context, palette.absent, lower(box, HEIGHTS.absent), 1);
      if (evicted > 0) outline(context, palette.evicted, lower(box, HEIGHTS.resident), evicted);
    }
  }

  /** Strength of a mark of this age: full at first, then fading; without motion it is there or it is not. */
  #mark(age: number): number {
    if (this.#past) return age < Number.POSITIVE_INFINITY ? 1 : 0; // what is looked back at does not fade
    if (age >= MARK_MS) return 0;
    return this.#still.matches ? 1 : Math.min(1, 1.6 * (1 - age / MARK_MS));
  }

  #summarise(now: number): void {
    this.#summaryAt = now;
    const { residents, experts, shelves } = this.#shown;
    if (experts === 0) {
      setText(this.#summary, "One spine for every expert, one shelf for every layer that has them.");
      this.#canvas.setAttribute("aria-label", "No model is loaded yet.");
      return;
    }
    setText(
      this.#summary,
      `${residents} of ${experts} ${this.#past ? "were there then" : "are there now"}: one spine an expert, one shelf a layer.`,
    );
    const layers = shelves.slice(0, 48).map((shelf) => {
      const chosen = shelf.cells.filter((cell) => cell.chosen).length;
      const marked = (at: "fetchedAt" | "evictedAt") =>
        shelf.cells.filter((cell) => this.#mark(now - cell[at]) > 0).length;
      return (
        `Layer ${shelf.layer}: ${countResident(shelf)} of ${shelf.cells.length} resident, ${chosen} chosen now, ` +
        `${marked("fetchedAt")} just fetched, ${marked("evictedAt")} just evicted.`
      );
    });
    this.#canvas.setAttribute("aria-label", layers.join(" "));
  }

  #point(event: PointerEvent): void {
    const at = cellAt(this.#layout, event.offsetX, event.offsetY);
    const shelf = at ? this.#shown.shelves[at.shelf] : undefined;
    const cell = at && shelf ? shelf.cells[at.expert] : undefined;
    if (!at || !shelf || !cell) {
      setText(this.#cellText, "");
      return;
    }
    const place = cell.resident ? "resident" : "not on the GPU";
    const counts = `chosen in ${cell.timesChosen} steps, fetched ${cell.timesFetched} times`;
    setText(this.#cellText, `Layer ${shelf.layer}, expert ${at.expert}: ${place}, ${counts}`);
  }
}

/** The part of `box` that stands on its bottom edge and is `share` of its height. */
function lower(box: Box, share: number): Box {
  const height = box.height * share;
  return { ...box, y: box.y + box.height - height, height };
}

function fill(context: CanvasRenderingContext2D, colour: string, { x, y, width, height }: Box, alpha: number): void {
  context.globalAlpha = alpha;
  context.fillStyle = colour;
  context.fillRect(x, y, width, height);
  context.globalAlpha = 1;
}

function outline(context: CanvasRenderingContext2D, colour: string, { x, y, width, height }: Box, alpha: number): void {
  const line = width >= 4 ? 1.5 : 0.75;
  context.globalAlpha = alpha;
  context.strokeStyle = colour;
  context.lineWidth = line;
  context.strokeRect(x + line / 2, y + line / 2, Math.max(0.2, width - line), height - line);
  context.globalAlpha = 1;
}

function readPalette(canvas: HTMLCanvasElement): Palette {
  const style = getComputedStyle(canvas);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    absent: colour("absent"),
    resident: colour("resident"),
    chosen: colour("chosen"),
    fetched: colour("fetched"),
    evicted: colour("evicted"),
    board: colour("rule"),
    text: colour("muted"),
    font: `11px ${style.fontFamily}`,
  };
}
