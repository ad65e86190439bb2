/** The conversations kept on this device: open, rename, delete, and as a file out and in. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { AppState } from "../app-state.ts";
import { useStore } from "../use-store.ts";
import type { ChatState, Summary } from "./chat-state.ts";

interface Props {
  readonly app: AppState;
  readonly chat: ChatState;
  /** Something was chosen; a list that lies over the page goes away. */
  readonly done: () => void;
}

export function ConversationList({ app, chat, done }: Props) {
  const list = useStore(chat.list);
  const { id: current } = useStore(chat.current);
  return (
    <nav class="history" aria-label="Conversations">
      <button
        id="new-conversation"
        type="button"
        onClick={() => {
          chat.begin();
          done();
          document.getElementById("draft")?.focus();
        }}
      >
        New conversation
      </button>
      {list.length === 0 ? (
        <p class="hint">Conversations are kept here, on this device only.</p>
      ) : (
        <ul>
          {list.map((summary) => (
            <Entry key={summary.id} {...{ chat, summary, done }} current={summary.id === current} />
          ))}
        </ul>
      )}
      <Files app={app} chat={chat} />
    </nav>
  );
}

interface EntryProps {
  readonly chat: ChatState;
  readonly summary: Summary;
  readonly current: boolean;
  readonly done: () => void;
}

function Entry({ chat, summary: { id, title }, current, done }: EntryProps) {
  const [mode, set] = useState<"shown" | "renaming" | "deleting">("shown");
  if (mode === "renaming") return <Renaming {...{ chat, id, title }} close={() => set("shown")} />;
  if (mode === "deleting") {
    return (
      <li class="kept asking">
        <p>Delete “{title}”?</p>
        <button type="button" class="primary" onClick={() => void chat.remove(id)}>
          Delete
        </button>
        <button type="button" onClick={() => set("shown")}>
          Keep
        </button>
      </li>
    );
  }
  const open = () => {
    chat.open(id);
    done();
  };
  return (
    <li class={current ? "kept current" : "kept"}>
      <button type="button" class="title" aria-current={current ? "true" : undefined} onClick={open}>
        {title}
      </button>
      <button type="button" class="tool" aria-label={`Rename ${title}`} onClick={() => set("renaming")}>
        ✎
      </button>
      <button type="button" class="tool" aria-label={`Delete ${title}`} onClick={() => set("deleting")}>
        ✕
      </button>
    </li>
  );
}

interface RenamingProps {
  readonly chat: ChatState;
  readonly id: string;
  readonly title: string;
  readonly close: () => void;
}

function Renaming({ chat, id, title, close }: RenamingProps) {
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    chat.rename(id, field.current?.value ?? "");
    close();
  };
  return (
    <li class="kept">
      <form class="renaming" onSubmit={submit}>
        <input
          ref={field}
          type="text"
          aria-label="Title"
          maxLength={60}
          defaultValue={title}
          onKeyDown={(event) => event.key === "Escape" && close()}
        />
        <button type="submit">Rename</button>
      </form>
    </li>
  );
}

function Files({ app, chat }: { app: AppState; chat: ChatState }) {
  const list = useStore(chat.list);
  const save = () => {
    const url = URL.createObjectURL(new Blob([chat.exported()], { type: "application/json" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = "octavo-conversations.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  const take = async (input: HTMLInputElement) => {
    const file = input.files?.[0];
    input.value = "";
    if (!file) return;
    try {
      const count = chat.imported(await file.text());
      app.say(`${count} conversation${count === 1 ? "" : "s"} taken from the file.`);
    } catch (error) {
      app.showError(error);
    }
  };
  return (
    <div class="history-files">
      <button type="button" class="tool" disabled={list.length === 0} onClick={save}>
        Save all to a file
      </button>
      <label class="tool">
        Open a file
        <input
          type="file"
          class="visually-hidden"
          accept=".json,application/json"
          onChange={(event) => void take(event.currentTarget)}
        />
      </label>
    </div>
  );
}
