/** Where the reader writes. Enter sends, Shift+Enter breaks the line, Escape stops the answer under way. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { AppState } from "../app-state.ts";
import { useStore } from "../use-store.ts";
import type { ContextMeter } from "./context-meter.ts";

const STARTERS = [
  {
    label: "The old woman and her cat",
    text: "In a small house at the edge of the forest lived an old woman and her cat. One winter night",
  },
  { label: "The little girl", text: "Once upon a time there was a little girl who" },
  { label: "Three sons", text: "The king said to his three sons," },
  { label: "The fox", text: '"Come with me," said the fox,' },
] as const;

interface Props {
  readonly app: AppState;
  readonly meter: ContextMeter;
  /** Nothing is written in this conversation yet. */
  readonly first: boolean;
  readonly send: (text: string) => void;
}

export function Composer({ app, meter, first, send }: Props) {
  const [draft, write] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const model = useStore(app.model);
  const answering = useStore(app.answering);
  const prose = useStore(app.prose);
  const ready = model !== null && !answering;
  useEffect(() => {
    if (field.current) grow(field.current);
  }, [draft]);
  const submit = () => {
    if (!ready || draft.trim() === "") return;
    send(draft);
    write("");
    field.current?.focus({ preventScroll: true });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape" && answering) app.stop();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  };
  const begin = (text: string) => {
    write(text);
    field.current?.focus();
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {first && prose && model && (
        <fieldset class="chips" aria-label="Example beginnings">
          {STARTERS.map(({ label, text }) => (
            <button key={label} type="button" class="chip" title={text} onClick={() => begin(text)}>
              {label}
            </button>
          ))}
        </fieldset>
      )}
      <div class="composer-row">
        <textarea
          id="draft"
          ref={field}
          rows={1}
          maxLength={100_000}
          aria-label={prose ? (first ? "Beginning of a story" : "What comes next in the story") : "Message"}
          aria-describedby="draft-hint"
          placeholder={placeholder(model !== null, prose, first)}
          value={draft}
          onInput={(event) => write(event.currentTarget.value)}
          onKeyDown={onKeyDown}
        />
        {answering ? (
          <button id="stop" type="button" class="primary" onClick={() => app.stop()}>
            Stop
          </button>
        ) : (
          <button id="send" type="submit" class="primary" disabled={!ready || draft.trim() === ""}>
            {prose ? "Tell on" : "Send"}
          </button>
        )}
      </div>
      <div class="composer-foot">
        <p id="draft-hint" class="hint">
          Enter sends, Shift+Enter breaks the line{answering ? ", Escape stops" : ""}.
        </p>
        <ContextUse app={app} meter={meter} />
      </div>
    </form>
  );
}

/** A share of the context from which on a reader should know that it ends. */
const NEARLY_FULL = 0.85;

/** How much of what the model can see at once is used. */
function ContextUse({ app, meter }: { app: AppState; meter: ContextMeter }) {
  const tokens = useStore(meter.tokens);
  const length = useStore(app.contextLength);
  const model = useStore(app.model);
  if (!model || tokens === null || length === 0) return null;
  const nearly = tokens >= NEARLY_FULL * length;
  return (
    <p id="context-use" class={nearly ? "hint nearly-full" : "hint"} title="What the model sees of this conversation">
      <progress aria-hidden="true" max={length} value={Math.min(tokens, length)} />
      <span class="figures">
        {tokens} of {length}
      </span>{" "}
      tokens
    </p>
  );
}

function placeholder(open: boolean, prose: boolean, first: boolean): string {
  if (!open) return "No model is open";
  if (!prose) return "Write a message";
  return first ? "Write a beginning" : "Write on";
}

/** As high as its text, up to a third of the window. */
function grow(field: HTMLTextAreaElement): void {
  field.style.height = "auto";
  field.style.height = `${Math.min(field.scrollHeight + 2, window.innerHeight / 3)}px`;
}
