/**
 * SentencePiece's BPE from its definition: of all neighbouring symbols whose joined spelling is a piece, the pair of the
 * highest score is joined, of equal ones the leftmost, until none is left; what is no piece becomes its bytes.
 */

/** @param scores of the pieces that joining may make. @param idOf of every piece, bytes spelled `<0x41>`. */
export function sentencePieceIds(
  text: string,
  scores: ReadonlyMap<string, number>,
  idOf: ReadonlyMap<string, number>,
): number[] {
  const symbols = [...text];
  for (;;) {
    let best = -1;
    let bestScore = Number.NEGATIVE_INFINITY;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const score = scores.get(symbols[i]! + symbols[i + 1]!);
      if (score !== undefined && score > bestScore) [best, bestScore] = [i, score];
    }
    if (best < 0) break;
    symbols.splice(best, 2, symbols[best]! + symbols[best + 1]!);
  }
  return symbols.flatMap((symbol) => {
    if (scores.has(symbol)) return [idOf.get(symbol)!];
    return Array.from(new TextEncoder().encode(symbol), (byte) => {
      return idOf.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`)!;
    });
  });
}
