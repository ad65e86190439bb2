/** Which stretches of a data file are free. Plain numbers; the file itself is not touched. */

interface Gap {
  readonly start: number;
  readonly bytes: number;
}

export class Space {
  /** Most bytes that the file may have. */
  limitBytes: number;
  /** Free stretches before the end, by start, never touching each other. */
  #gaps: Gap[] = [];
  #end = 0;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  /** Bytes from the start to the end of the last stretch in use: the file's size. */
  get endBytes(): number {
    return this.#end;
  }

  /** Marks a stretch as used that lies behind the end; for filling in what a file holds, by start. */
  occupy(start: number, bytes: number): void {
    if (start > this.#end) this.#gaps.push({ start: this.#end, bytes: start - this.#end });
    this.#end = Math.max(this.#end, start + bytes);
  }

  /** Start of a stretch of `bytes`: the tightest gap, else behind the end; `undefined` when neither holds it. */
  take(bytes: number): number | undefined {
    let best = -1;
    this.#gaps.forEach((gap, i) => {
      if (gap.bytes >= bytes && gap.bytes < (this.#gaps[best]?.bytes ?? Number.POSITIVE_INFINITY)) best = i;
    });
    const gap = this.#gaps[best];
    if (gap) {
      const rest = { start: gap.start + bytes, bytes: gap.bytes - bytes };
      this.#gaps.splice(best, 1, ...(rest.bytes > 0 ? [rest] : []));
      return gap.start;
    }
    if (this.#end + bytes > this.limitBytes) return undefined;
    this.#end += bytes;
    return this.#end - bytes;
  }

  /** Gives a stretch back; joined with its free neighbours, and with what is behind the end. */
  give(start: number, bytes: number): void {
    const joined: Gap[] = [];
    let [from, to] = [start, start + bytes];
    for (const gap of this.#gaps) {
      if (gap.start + gap.bytes === from) from = gap.start;
      else if (gap.start === to) to = gap.start + gap.bytes;
      else joined.push(gap);
    }
    if (to === this.#end) this.#end = from;
    else joined.push({ start: from, bytes: to - from });
    this.#gaps = joined.sort((a, b) => a.start - b.start);
  }
}
