import type { Model } from "octavo";
import { useEffect, useRef, useState } from "react";

/** Text that `model` writes on from a beginning; the next beginning, `stop` and unmounting end it. */
export function useContinuation(model: Model) {
  const [text, setText] = useState("");
  const [running, setRunning] = useState(false);
  const [error, setError] = useState<Error>();
  const current = useRef<AbortController>(undefined);

  useEffect(() => () => current.current?.abort(), []);

  const stop = () => current.current?.abort();
  const start = (prompt: string) => {
    stop();
    const abort = new AbortController();
    current.current = abort;
    const isCurrent = () => current.current === abort;
    setText(prompt);
    setError(undefined);
    setRunning(true);
    continueText(model, prompt, abort.signal, (more) => isCurrent() && setText(prompt + more))
      .catch((reason: Error) => {
        if (reason.name !== "AbortError" && isCurrent()) setError(reason);
      })
      .finally(() => isCurrent() && setRunning(false));
  };
  return { text, running, error, start, stop };
}

async function continueText(model: Model, prompt: string, signal: AbortSignal, onText: (text: string) => void) {
  const session = await model.createSession();
  try {
    await session.prefill(await model.encode(prompt), { signal });
    const ids: number[] = [];
    for await (const id of session.generate({ maxTokens: 100, temperature: 0.8, topP: 0.95, signal })) {
      ids.push(id);
      onText(await model.decode(ids));
    }
  } finally {
    await session.dispose();
  }
}
