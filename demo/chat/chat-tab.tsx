/** The chat: the conversations at the left, the one that is read in the middle, the instruments at the right. */
import { Fragment } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { AppState } from "../app-state.ts";
import { Instruments } from "../instruments/instruments.tsx";
import { useStore } from "../use-store.ts";
import type { ChatState } from "./chat-state.ts";
import { Composer } from "./composer.tsx";
import { lastView } from "./context-fit.ts";
import { type Message, pathOf } from "./conversation.ts";
import { ConversationList } from "./conversation-list.tsx";
import { AnswerView, UserView } from "./message-view.tsx";
import { LeftOut } from "./story-text.tsx";

/** How near to the end a reader is who wants to see what is added. */
const NEAR_PX = 60;

export function ChatTab({ app, chat }: { app: AppState; chat: ChatState }) {
  const [listed, list] = useState(false);
  return (
    <div class={listed ? "desk listed" : "desk"}>
      <ConversationList app={app} chat={chat} done={() => list(false)} />
      <section class="sheet" aria-labelledby="running-head">
        <div class="sheet-head">
          <button
            id="show-conversations"
            type="button"
            class="tool"
            aria-expanded={listed}
            onClick={() => list(!listed)}
          >
            Conversations
          </button>
          <RunningHead chat={chat} />
        </div>
        <Messages app={app} chat={chat} />
      </section>
      <Instruments app={app} />
    </div>
  );
}

function RunningHead({ chat }: { chat: ChatState }) {
  const { title } = useStore(chat.current);
  return (
    <h2 id="running-head" class="running-head">
      {title}
    </h2>
  );
}

function Messages({ app, chat }: { app: AppState; chat: ChatState }) {
  const conversation = useStore(chat.current);
  const model = useStore(app.model);
  const answering = useStore(app.answering);
  const format = useStore(app.format);
  const ready = model !== null && !answering;
  const path = pathOf(conversation);
  const last = path.at(-1);
  const view = lastView(path);
  const story = path.some((message) => message.role === "assistant" && message.prose);
  const leaf = useRef<HTMLElement>(null);
  useFollowing(leaf, conversation.id, path.length, endOf(last));
  return (
    <>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled by keyboard */}
      <section id="leaf" class="leaf" ref={leaf} aria-label="Messages" tabIndex={0}>
        {path.length === 0 && <Welcome app={app} />}
        <div class={story ? "messages story" : "messages"}>
          {path.map((message) => (
            <Fragment key={message.id}>
              {view?.from === message.id && view.at === 0 && <LeftOut />}
              {message.role === "user" ? (
                <UserView
                  {...{ chat, conversation, ready, format, view, message }}
                  initial={story && message === path[0]}
                />
              ) : (
                <AnswerView {...{ chat, conversation, ready, format, view, message }} />
              )}
            </Fragment>
          ))}
        </div>
      </section>
      <Composer
        app={app}
        meter={chat.meter}
        first={path.length === 0}
        send={(text) => chat.send(text, last?.id ?? null)}
      />
    </>
  );
}

/** Changes with whatever is added at the end: text, a thought, what is said below an answer that has ended. */
function endOf(last: Message | undefined): string {
  if (last?.role !== "assistant") return "";
  return `${last.content.length} ${last.reasoning.length} ${last.state}`;
}

/** Keeps the end in sight of a reader who is at the end; another conversation, or another message, begins there. */
function useFollowing(leaf: { current: HTMLElement | null }, conversation: string, count: number, end: string): void {
  const atEnd = useRef(true);
  useEffect(() => {
    const root = leaf.current;
    const note = () => {
      if (root) atEnd.current = root.scrollHeight - root.scrollTop - root.clientHeight < NEAR_PX;
    };
    root?.addEventListener("scroll", note, { passive: true });
    return () => root?.removeEventListener("scroll", note);
  }, []);
  useEffect(() => {
    atEnd.current = true;
  }, [conversation, count]);
  useEffect(() => {
    if (atEnd.current && leaf.current) leaf.current.scrollTop = leaf.current.scrollHeight;
  }, [conversation, count, end]);
}

function Welcome({ app }: { app: AppState }) {
  const model = useStore(app.model);
  const choice = useStore(app.choice);
  const prose = useStore(app.prose);
  const loading = useStore(app.loading);
  if (!model) {
    return (
      <p class="welcome">
        {loading ? `${choice.label} is being opened.` : "No model is open. Choose one under Models."}
      </p>
    );
  }
  return (
    <p class="welcome">
      {prose
        ? `${choice.label} continues a text: write the beginning of a story, and it tells on.`
        : `${choice.label} is ready. What do you want to talk about?`}
    </p>
  );
}
