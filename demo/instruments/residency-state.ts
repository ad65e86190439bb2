/**
 * Who is on the GPU, for the picture: one cell per expert of every MoE layer, fed by snapshots and step events. Plain
 * state with times in milliseconds; drawing is the view's business.
 */
import type { ResidencyLayer, StepEvent } from "../../src/index.ts";

/** How long a fetched or evicted expert is marked. */
export const MARK_MS = 600;

export interface Cell {
  resident: boolean;
  /** Chosen in the last step. */
  chosen: boolean;
  fetchedAt: number;
  evictedAt: number;
  timesChosen: number;
  timesFetched: number;
}

export interface Shelf {
  readonly layer: number;
  readonly cells: readonly Cell[];
}

export class ResidencyState {
  shelves: readonly Shelf[] = [];
  readonly #byLayer = new Map<number, Shelf>();

  /** Starts anew with a model's layers. */
  reset(snapshot: readonly ResidencyLayer[]): void {
    this.#byLayer.clear();
    this.shelves = snapshot.map(({ layer, resident }) => ({ layer, cells: resident.map(newCell) }));
    for (const shelf of this.shelves) this.#byLayer.set(shelf.layer, shelf);
  }

  /** Takes a snapshot of the same model; what went or came since is marked. */
  sync(snapshot: readonly ResidencyLayer[], now: number): void {
    for (const { layer, resident } of snapshot) {
      const cells = this.#byLayer.get(layer)?.cells ?? [];
      for (const [expert, cell] of cells.entries()) setResident(cell, resident[expert] ?? false, now);
    }
  }

  /** @returns whether the event leaves open who is resident: an expert that both came and went within the step. */
  apply(event: StepEvent, now: number): boolean {
    let open = false;
    for (const shelf of this.shelves) for (const cell of shelf.cells) cell.chosen = false;
    for (const { layer, chosen, fetched, evicted } of event.layers) {
      const cells = this.#byLayer.get(layer)?.cells ?? [];
      const came = new Set(fetched);
      for (const expert of evicted) {
        const cell = cells[expert];
        if (cell) setResident(cell, false, now);
        open ||= came.has(expert);
      }
      for (const expert of fetched) fetch(cells[expert], now);
      for (const expert of chosen) choose(cells[expert]);
    }
    return open;
  }

  /** No step is under way: nothing is chosen now. */
  rest(): void {
    for (const shelf of this.shelves) for (const cell of shelf.cells) cell.chosen = false;
  }

  get residents(): number {
    return this.shelves.reduce((sum, shelf) => sum + countResident(shelf), 0);
  }

  get experts(): number {
    return this.shelves.reduce((sum, shelf) => sum + shelf.cells.length, 0);
  }
}

export function countResident(shelf: Shelf): number {
  return shelf.cells.filter((cell) => cell.resident).length;
}

function newCell(resident: boolean): Cell {
  return { resident, chosen: false, fetchedAt: -Infinity, evictedAt: -Infinity, timesChosen: 0, timesFetched: 0 };
}

function setResident(cell: Cell, resident: boolean, now: number): void {
  if (cell.resident === resident) return;
  cell.resident = resident;
  if (resident) cell.fetchedAt = now;
  else cell.evictedAt = now;
}

function fetch(cell: Cell | undefined, now: number): void {
  if (!cell) return;
  cell.resident = true;
  cell.fetchedAt = now;
  cell.timesFetched++;
}

function choose(cell: Cell | undefined): void {
  if (!cell) return;
  cell.chosen = true;
  cell.timesChosen++;
}
