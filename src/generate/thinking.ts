/**
 * Where a turn stands between thought and answer, by its ids alone: it is told each id that becomes part of the text,
 * counts those of a thought, and says what must be written next, where something must. A marker that is spelled with
 * other ids than those given is not seen.
 */
import type { CheckedSettings } from "./settings.ts";

type Thinking = NonNullable<CheckedSettings["thinking"]>;

export class ThinkingState {
  readonly #thinking: Thinking;
  readonly #constrained: boolean;
  /** "lead": in front of the answer, where a thought may begin. An answer that nothing constrains is all "lead". */
  #phase: "lead" | "thought" | "answer" = "lead";
  /** Ids since the phase began. */
  #ids: number[] = [];
  /** A constrained answer has one thought before it. */
  #thought = false;
  #due: number[] = [];

  /** @param constrained the answer is held to something, so it must be clear where it begins. */
  constructor(thinking: Thinking, constrained: boolean) {
    this.#thinking = thinking;
    this.#constrained = constrained;
    if (thinking.inside) this.#enter("thought");
  }

  /** The id that must be written now, if one must. */
  get forced(): number | undefined {
    return this.#due[0];
  }

  /** Whether what constrains the answer says what comes now, alone or beside `markers`. */
  get answering(): boolean {
    if (this.#due.length > 0) return false;
    if (this.#phase === "answer") return true;
    return this.#phase === "lead" && this.#thinking.answer.length === 0 && this.#ids.length === 0;
  }

  /** In front of a constrained answer: the next ids of the markers that lead to a thought or to the answer. */
  get markers(): readonly number[] {
    if (this.#phase !== "lead") return [];
    const { open, answer } = this.#thinking;
    const begun = [...(this.#thought ? [] : [open]), answer].filter((marker) => startsWith(marker, this.#ids));
    return begun.flatMap((marker) => marker.slice(this.#ids.length, this.#ids.length + 1));
  }

  /** Inside a thought anything may come. */
  get free(): boolean {
    return this.#phase === "thought";
  }

  add(id: number): void {
    this.#due.shift();
    if (this.#phase === "answer") return;
    this.#ids.push(id);
    const { open, close, answer, budget } = this.#thinking;
    if (this.#phase === "thought") {
      if (endsWith(this.#ids, close)) this.#close();
      else if (this.#due.length === 0 && this.#ids.length >= budget) this.#force();
    } else if (endsWith(this.#ids, open)) this.#enter("thought");
    else if (this.#constrained && this.#due.length === 0) {
      const led = answer.length > 0 ? endsWith(this.#ids, answer) : !startsWith(open, this.#ids);
      if (led) this.#enter("answer");
    }
  }

  #enter(phase: "lead" | "thought" | "answer"): void {
    this.#phase = phase;
    this.#ids = [];
    if (phase !== "thought") return;
    this.#thought = true;
    if (this.#thinking.budget === 0) this.#force();
  }

  /** A thought has ended. In front of a constrained answer what stands between the two is written, too. */
  #close(): void {
    const { forced, close, answer } = this.#thinking;
    if (this.#constrained && this.#due.length === 0) {
      const at = forced.findIndex((_, i) => startsWith(forced.slice(i), close));
      this.#due = forced.slice(at + close.length);
    }
    const led = this.#constrained && (answer.length === 0 || endsWith(forced, answer));
    this.#enter(led ? "answer" : "lead");
  }

  /** Writes what closes the thought, but for what of it the thought ends with already. */
  #force(): void {
    const { forced } = this.#thinking;
    let written = Math.min(this.#ids.length, forced.length - 1);
    while (!endsWith(this.#ids, forced.slice(0, written))) written -= 1;
    this.#due = forced.slice(written);
  }
}

function startsWith(ids: readonly number[], part: readonly number[]): boolean {
  return part.every((id, at) => ids[at] === id);
}

function endsWith(ids: readonly number[], part: readonly number[]): boolean {
  const start = ids.length - part.length;
  return start >= 0 && part.every((id, at) => ids[start + at] === id);
}
