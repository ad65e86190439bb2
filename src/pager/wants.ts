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

/**
 * `wants` without the guesses that would find no slot beside what else is named: in every layer the first of them stay, as
 * far as its slots go. Demands all stay, resident or not.
 * @param named wants of others, which keep their slots.
 */
export function withSlots(
  wants: readonly Want[],
  numSlots: (moe: number) => number,
  named: readonly Want[] = [],
): Want[] {
  const demands = wants.filter(({ guess }) => !guess);
  const taken = new Map<number, Set<number>>();
  const takenIn = (moe: number): Set<number> => {
    const known = taken.get(moe) ?? namedBy([...named, ...demands], moe);
    taken.set(moe, known);
    return known;
  };
  return wants.map((want) => {
    if (!want.guess) return want;
    const inLayer = takenIn(want.moe);
    const most = numSlots(want.moe);
    const experts = want.experts.filter(
      (expert) => inLayer.has(expert) || (inLayer.size < most && inLayer.add(expert)),
    );
    return { ...want, experts };
  });
}

/** Experts of MoE layer `moe` that `wants` name. */
export function namedBy(wants: readonly Want[], moe: number): Set<number> {
  return new Set(wants.flatMap((want) => (want.moe === moe ? want.experts : [])));
}
