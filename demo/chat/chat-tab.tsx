/** The chat: what is being written, and the instruments beside it. */
import { useRef, useState } from "preact/hooks";
import type { AppState } from "../app-state.ts";
import { Instruments } from "../instruments/instruments.tsx";
import { useStore } from "../use-store.ts";
import { type Ending, Telling } from "./telling.ts";

const EXAMPLES = [
  { label: "The little girl", text: "Once upon a time there was a little girl who" },
  { label: "Three sons", text: "The king said to his three sons," },
  { label: "The fox", text: '"Come with me," said the fox,' },
] as const;

const DEFAULT_BEGINNING = "In a small house at the edge of the forest lived an old woman and her cat. One winter night";

export function ChatTab({ app }: { app: AppState }) {
  return (
    <div class="desk">
      <Story app={app} />
      <Instruments app={app} />
    </div>
  );
}

interface Told {
  readonly prompt: string;
  readonly text: string;
  readonly status: string;
}

function Story({ app }: { app: AppState }) {
  const model = useStore(app.model);
  const choice = useStore(app.choice);
  const answering = useStore(app.answering);
  const [beginning, write] = useState(DEFAULT_BEGINNING);
  const [told, tell] = useState<Told | null>(null);
  const telling = useRef<Telling | null>(null);
  const answer = (prompt: string) =>
    app.answer(async (open, signal) => {
      const show = (text: string, status: string) => tell({ prompt, text, status });
      app.say("The model is writing.");
      if (!telling.current) show("", "Reading what is there");
      const story = telling.current ?? (await Telling.open(open, prompt));
      telling.current = story;
      const settings = app.settings.value;
      const seed = settings.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
      let shown = "";
      const onText = (text: string) => {
        shown = text;
        show(text, "");
      };
      const ending = await story.tell({ ...settings, seed, signal, onText });
      const status = endingText(ending, story.written, settings.temperature > 0 ? seed : null);
      show(shown, status);
      app.say(status);
    });
  const begin = () => {
    if (model && beginning.trim()) answer(beginning.trimEnd());
  };
  const restart = () => {
    void telling.current?.dispose();
    telling.current = null;
    tell(null);
  };
  return (
    <section class="sheet" aria-labelledby="running-head">
      <h2 id="running-head" class="running-head">
        {choice.label}
      </h2>
      {told ? (
        <div id="told" class="told">
          <section id="leaf" class="leaf" aria-label="The story so far">
            <p class="story">
              <span id="prompt-text" class="prompt">
                {told.prompt}
              </span>
              <span id="answer-text">{told.text}</span>
              {answering && <span class="caret" aria-hidden="true" />}
            </p>
          </section>
          <div class="actions">
            {answering ? (
              <button id="stop" type="button" class="primary" onClick={() => app.stop()}>
                Stop
              </button>
            ) : (
              <>
                <button
                  id="further"
                  type="button"
                  class="primary"
                  disabled={!model}
                  onClick={() => answer(told.prompt)}
                >
                  Continue further
                </button>
                <button id="restart" type="button" onClick={restart}>
                  Start over
                </button>
              </>
            )}
            <span id="told-status" class="hint">
              {told.status}
            </span>
          </div>
        </div>
      ) : (
        <form
          id="draft"
          class="draft"
          onSubmit={(event) => {
            event.preventDefault();
            begin();
          }}
        >
          <label for="beginning">Write a beginning; the model continues it.</label>
          <textarea
            id="beginning"
            rows={4}
            maxLength={4000}
            value={beginning}
            onInput={(event) => write(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
              event.preventDefault();
              begin();
            }}
          />
          <fieldset class="chips" aria-label="Example beginnings">
            {EXAMPLES.map(({ label, text }) => (
              <button key={label} type="button" class="chip" title={text} onClick={() => write(text)}>
                {label}
              </button>
            ))}
          </fieldset>
          <div class="actions">
            <button id="continue" type="submit" class="primary" disabled={!model || beginning.trim() === ""}>
              Continue the story
            </button>
            <span class="hint">Enter continues, Shift+Enter breaks the line</span>
          </div>
        </form>
      )}
    </section>
  );
}

function endingText(ending: Ending, tokens: number, seed: number | null): string {
  if (tokens === 0 && ending === "stopped") return "Stopped before the first token";
  const reason = {
    length: "Paused after",
    stopped: "Stopped after",
    story: "The model ended here, after",
    context: "The model's context is full after",
  }[ending];
  return `${reason} ${tokens} tokens${seed === null ? "" : `, seed ${seed}`}`;
}
