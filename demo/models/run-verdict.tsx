/** The `canRun` answer on a model's card: asked for when the card is shown, told when it has come. */
import { useEffect, useState } from "preact/hooks";
import { canRun, type RunAnswer } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import type { Choice } from "./choice.ts";
import { assumptionText, HEADLINES, linesOf } from "./run-words.ts";

/** The answer for `choice`; `null` until it has come, and where it could not be found out. */
export function useRunAnswer(app: AppState, choice: Choice): { answer: RunAnswer | null; asking: boolean } {
  const [state, tell] = useState<{ answer: RunAnswer | null; asking: boolean }>({ answer: null, asking: true });
  useEffect(() => {
    const asking = new AbortController();
    const { contextLength } = app.settings.value;
    const options = contextLength === null ? {} : { contextLength };
    canRun(choice.source, { ...options, signal: asking.signal }).then(
      (answer) => {
        tell({ answer, asking: false });
        app.say(HEADLINES[answer.verdict]);
      },
      (error: unknown) => {
        tell({ answer: null, asking: false });
        app.showError(error); // an abort is no notice
      },
    );
    return () => asking.abort();
  }, [choice]);
  return state;
}

const STYLES: Readonly<Record<RunAnswer["verdict"], string>> = {
  runs: "yes",
  "runs-paged": "paged",
  "does-not-run": "no",
};

export function RunVerdict({ answer, asking }: { answer: RunAnswer | null; asking: boolean }) {
  if (!answer) return asking ? <p class="hint">Trying this device and the link…</p> : null;
  const { verdict, reasons, warnings, assumptions, tookMs } = answer;
  return (
    <div id="verdict" class={`verdict ${STYLES[verdict]}`}>
      <strong>{HEADLINES[verdict]}</strong>
      {reasons.map(({ code, text }) => (
        <p key={code}>{text}</p>
      ))}
      {linesOf(answer).map((line) => (
        <p key={line}>{line}</p>
      ))}
      {warnings.map(({ code, text }) => (
        <p key={code} class="hint">
          {text}
        </p>
      ))}
      {assumptions.length > 0 && (
        <details>
          <summary>What this assumes</summary>
          <ul class="hint">
            {assumptions.map((assumption) => (
              <li key={assumption.name}>{assumptionText(assumption)}</li>
            ))}
            <li>Found out in {Math.round(tookMs)} ms.</li>
          </ul>
        </details>
      )}
    </div>
  );
}
