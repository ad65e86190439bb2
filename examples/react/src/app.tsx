import type { Model } from "octavo";
import { useState } from "react";
import { useContinuation } from "./use-continuation";
import { useModel } from "./use-model";

export function App({ source }: { source: string }) {
  const { model, progress, error } = useModel(source);
  if (error) return <p role="alert">{`${error.name}: ${error.message}`}</p>;
  return model ? <Teller model={model} /> : <p role="status">{progress}</p>;
}

function Teller({ model }: { model: Model }) {
  const { text, running, error, start, stop } = useContinuation(model);
  const [prompt, setPrompt] = useState("Once upon a time");
  return (
    <main>
      <p role="status">Ready on {model.adapter.name}</p>
      {error && <p role="alert">{`${error.name}: ${error.message}`}</p>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          start(prompt);
        }}
      >
        <label>
          Beginning <input value={prompt} onChange={(event) => setPrompt(event.target.value)} />
        </label>
        <button type="submit" disabled={running}>
          Continue
        </button>
        <button type="button" disabled={!running} onClick={stop}>
          Stop
        </button>
      </form>
      <p id="text">{text}</p>
    </main>
  );
}
