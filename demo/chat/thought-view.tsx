/** The thought of an answer, folded away, with the time it took; while it is thought, that runs. */
import { useEffect, useState } from "preact/hooks";
import type { Answer } from "./conversation.ts";

export function Thought({ answer }: { answer: Answer }) {
  const thinking = answer.state === "writing" && answer.content === "" && answer.thoughtMs === null;
  const [seconds, tick] = useState(0);
  useEffect(() => {
    if (!thinking) return;
    const since = performance.now();
    const timer = setInterval(() => tick(Math.round((performance.now() - since) / 1000)), 1000);
    return () => clearInterval(timer);
  }, [thinking]);
  return (
    <details class="thought">
      <summary>{thinking ? `Thinking for ${seconds} s` : thoughtText(answer.thoughtMs)}</summary>
      <div class="text">{answer.reasoning}</div>
    </details>
  );
}

function thoughtText(ms: number | null): string {
  return ms === null ? "Thought" : `Thought for ${Math.max(1, Math.round(ms / 1000))} s`;
}
