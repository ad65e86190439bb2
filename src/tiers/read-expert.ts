/** What every tier answers: one expert's bytes in slot layout, with how urgent the reader is. */

/** A step waits for a demand; a guess may come to nothing; background work yields to both. */
export type ReadPriority = "demand" | "guess" | "background";

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  readonly priority: ReadPriority;
}

/**
 * The bytes of expert `expert` of layer `layer` (index in the model), `expertLayout(layer).words * 4` of them. The reader
 * must not change them: a tier may keep them.
 * @throws SourceError when they do not arrive; `AbortError` when `signal` fires, after the read has ended.
 */
export type ReadExpert = (layer: number, expert: number, options: ReadOptions) => Promise<Uint8Array<ArrayBuffer>>;
