/** What a step wants of the pager, and what of it is missing. Plain data; nothing here reads or places. */

/** Experts wanted of one MoE layer (by its number among the MoE layers). Guesses may come to nothing. */
export interface Want {
  readonly moe: number;
  readonly experts: readonly number[];
  readonly guess: boolean;
}

export interface MissingExpert {
  readonly moe: number;
  readonly expert: number;
  readonly guess: boolean;
}

/** The experts of `wants` that are not resident, each once, demands first. Named as both, it is a demand. */
export function missingOf(
  wants: readonly Want[],
  isResident: (moe: number, expert: number) => boolean,
): MissingExpert[] {
  const found = new Map<string, MissingExpert>();
  for (const guess of [false, true]) {
    for (const { moe, experts } of wants.filter((want) => want.guess === guess)) {
      for (const expert of experts) {
        const key = `${moe} ${expert}`;
        if (!found.has(key) && !isResident(moe, expert)) found.set(key, { moe, expert, guess });
      }
    }
  }
  return [...found.values()];
}

/** Experts of MoE layer `moe` that `wants` name: all of them, or those demanded. */
export function namedBy(wants: readonly Want[], moe: number, which: "all" | "demands" = "all"): Set<number> {
  return new Set(wants.flatMap((want) => (want.moe === moe && (which === "all" || !want.guess) ? want.experts : [])));
}
