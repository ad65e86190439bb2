/** Text as it was written, no Markdown: the beginning of a story as books set it, and the place where what the model sees begins. */
import type { Message, View } from "./conversation.ts";

/** How much of a text, at its beginning, the model no longer sees where its view begins inside of it. */
export function hiddenOf({ id }: Message, view: View | null): number {
  return view?.from === id ? view.at : 0;
}

export function Prose({ text, hidden }: { text: string; hidden: number }) {
  if (hidden === 0) return text;
  return (
    <>
      {text.slice(0, hidden)}
      <LeftOut />
      {text.slice(hidden)}
    </>
  );
}

/** Stands where what the model sees begins. */
export function LeftOut() {
  return <span class="left-out">The model no longer sees what is above</span>;
}

/** A text with its first letter, and a quote before it, as an initial. */
export function Initial({ text }: { text: string }) {
  const letter = /^["'“‘„«(]?\p{L}/u.exec(text)?.[0] ?? "";
  return (
    <>
      {letter !== "" && <span class="initial">{letter}</span>}
      {text.slice(letter.length)}
    </>
  );
}
