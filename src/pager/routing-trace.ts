/** Records a run's routing as rows `turn,phase,step,layer,rank,expert,weight`, the format that replays read. */
export type TraceRow = readonly [
  turn: number,
  phase: 0 | 1,
  step: number,
  layer: number,
  rank: number,
  expert: number,
  weight: number,
];

export class RoutingTrace {
  #rows: TraceRow[] | undefined;
  #turn = 0;
  #lastPhase: 0 | 1 | undefined;

  start(): void {
    this.#rows = [];
    this.#turn = 0;
    this.#lastPhase = undefined;
  }

  /** Ends the recording. */
  take(): TraceRow[] {
    const rows = this.#rows ?? [];
    this.#rows = undefined;
    return rows;
  }

  /** A prefill that follows decoding opens a new turn. `expertIds` and `routingWeights` are in rank order. */
  add(
    phase: 0 | 1,
    step: number,
    layer: number,
    expertIds: ArrayLike<number>,
    routingWeights: ArrayLike<number>,
  ): void {
    if (!this.#rows) return;
    if (phase === 0 && this.#lastPhase === 1) this.#turn += 1;
    this.#lastPhase = phase;
    for (let rank = 0; rank < expertIds.length; rank++) {
      this.#rows.push([this.#turn, phase, step, layer, rank, expertIds[rank] ?? 0, routingWeights[rank] ?? 0]);
    }
  }
}
