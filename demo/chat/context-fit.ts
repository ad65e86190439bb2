/**
 * What a model is shown of a conversation that has outgrown its context: the latest of it, from the beginning of an exchange
 * on, or of a sentence where the conversation is a story. The system message is no part of the path, and so always kept.
 */
import type { Message, View } from "./conversation.ts";

/** What is shown of `path`; all of it where the view begins at nothing in it. */
export function shown(path: readonly Message[], view: View | null): readonly Message[] {
  const at = view ? path.findIndex(({ id }) => id === view.from) : -1;
  const first = path[at];
  if (!view || !first) return path;
  return [{ ...first, content: first.content.slice(view.at) }, ...path.slice(at + 1)];
}

/** From where the last answer of a path was written. */
export function lastView(path: readonly Message[]): View | null {
  const last = path.findLast((message) => message.role === "assistant");
  return last?.role === "assistant" ? last.view : null;
}

/** Every view that leaves something out, from the one that leaves out least; the last exchange is always shown. */
export function viewsOf(path: readonly Message[], prose: boolean): View[] {
  if (prose) return path.flatMap((message, i) => sentencesOf(message, i === 0));
  const questions = path.filter(({ role }) => role === "user");
  return questions.slice(1).map(({ id }) => ({ from: id, at: 0 }));
}

/** What to take of a context for the prompt, so that an answer, and the next one too, has room behind it. */
export function promptRoom(contextLength: number, maxTokens: number): { readonly most: number; readonly good: number } {
  const least = Math.min(maxTokens, Math.ceil(contextLength / 32));
  const wanted = Math.max(Math.min(maxTokens, contextLength / 2), contextLength / 4);
  return { most: contextLength - least, good: contextLength - Math.floor(wanted) };
}

/**
 * The view that leaves out least of those that take at most `most` tokens; the last one where none does, `null` without any.
 * @param count tokens of the prompt at a view; fewer for every later one.
 */
export async function firstFitting(
  views: readonly View[],
  most: number,
  count: (view: View) => Promise<number>,
): Promise<View | null> {
  let [low, high] = [0, views.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    const view = views[middle];
    if (view && (await count(view)) <= most) high = middle;
    else low = middle + 1;
  }
  return views[low] ?? null;
}

/** Beginnings of sentences, and of the message itself; what a language without full stops writes begins at its words. */
function sentencesOf({ id, content }: Message, first: boolean): View[] {
  const ends = /[.!?…]["'”’»)\]]*\s+|\n+|[。！？]/gu;
  const found = [...content.matchAll(content.search(ends) < 0 ? /\s+/g : ends)];
  const starts = found.map((match) => match.index + match[0].length).filter((at) => at < content.length);
  return [...(first ? [] : [0]), ...starts].map((at) => ({ from: id, at }));
}
