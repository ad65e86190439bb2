/** One message with what can be done with it: edit, retry, continue, copy, and turning to its other branches. */
import { useEffect, useRef, useState } from "preact/hooks";
import { duration, figures } from "../format.ts";
import { type ChatState, endingText } from "./chat-state.ts";
import { type Answer, branchesOf, type Conversation, type Message, type UserMessage } from "./conversation.ts";
import { MarkdownView } from "./markdown-view.tsx";

export interface MessageProps {
  readonly chat: ChatState;
  readonly conversation: Conversation;
  /** A model is open and idle. */
  readonly ready: boolean;
}

interface UserProps extends MessageProps {
  readonly message: UserMessage;
  /** It begins a story, and is set as books set it. */
  readonly initial: boolean;
}

export function UserView({ chat, conversation, ready, message, initial }: UserProps) {
  const [editing, edit] = useState(false);
  if (editing) return <Editor {...{ chat, ready, message }} close={() => edit(false)} />;
  return (
    <article class="message user" aria-label="You">
      <div class="tools">
        <Branches {...{ chat, conversation, message }} />
        <button type="button" class="tool" disabled={!ready} onClick={() => edit(true)}>
          Edit
        </button>
      </div>
      <div class="text">{initial ? <Initial text={message.content} /> : message.content}</div>
    </article>
  );
}

/** A text with its first letter, and a quote before it, as an initial. */
function Initial({ text }: { text: string }) {
  const letter = /^["'“‘„«(]?\p{L}/u.exec(text)?.[0] ?? "";
  return (
    <>
      {letter !== "" && <span class="initial">{letter}</span>}
      {text.slice(letter.length)}
    </>
  );
}

interface EditorProps {
  readonly chat: ChatState;
  readonly ready: boolean;
  readonly message: UserMessage;
  readonly close: () => void;
}

function Editor({ chat, ready, message, close }: EditorProps) {
  const field = useRef<HTMLTextAreaElement>(null);
  const [text, write] = useState(message.content);
  useEffect(() => field.current?.focus(), []);
  const submit = () => {
    if (!ready || text.trim() === "") return;
    close();
    chat.edit(message.id, text);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") close();
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  };
  return (
    <form
      class="message user editor"
      aria-label="Edit your message"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <textarea
        ref={field}
        aria-label="Your message"
        rows={3}
        value={text}
        onInput={(event) => write(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <div class="actions">
        <button type="submit" class="primary" disabled={!ready || text.trim() === ""}>
          Send as a new branch
        </button>
        <button type="button" onClick={close}>
          Cancel
        </button>
      </div>
    </form>
  );
}

export function AnswerView({ chat, conversation, ready, message }: MessageProps & { message: Answer }) {
  const writing = message.state === "writing";
  return (
    <article class="message answer" aria-label={message.model} aria-busy={writing}>
      {message.reasoning !== "" && <Thought answer={message} />}
      {message.prose ? <div class="text">{message.content}</div> : <MarkdownView text={message.content} />}
      {writing && <span class="caret" aria-hidden="true" />}
      {message.calls.map((call, i) => (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a long call can be scrolled by keyboard
        <pre key={i} class="call" tabIndex={0}>
          {`${call.name}(${call.arguments})`}
        </pre>
      ))}
      {!writing && <Foot {...{ chat, conversation, ready, message }} />}
    </article>
  );
}

function Foot({ chat, conversation, ready, message }: MessageProps & { message: Answer }) {
  return (
    <footer class="foot">
      <div class="tools">
        <Branches {...{ chat, conversation, message }} />
        <CopyButton text={message.content} />
        <button type="button" class="tool" disabled={!ready} onClick={() => chat.retry(message.id)}>
          Retry
        </button>
        {message.state !== "tools" && (
          <button type="button" class="tool" disabled={!ready} onClick={() => chat.goOn(message.id)}>
            Continue
          </button>
        )}
      </div>
      <p class="figures">{figuresText(message)}</p>
      {message.trouble !== "" && <p class="trouble">{message.trouble}</p>}
    </footer>
  );
}

function figuresText({ state, figures: took }: Answer): string {
  const parts = [endingText(state, took?.tokens ?? 0)];
  if (took && took.tokensPerSecond > 0) parts.push(`${figures(took.tokensPerSecond)} tok/s`);
  if (took && took.firstTokenMs > 0) parts.push(`first token ${duration(took.firstTokenMs)}`);
  if (took && took.seed !== null) parts.push(`seed ${took.seed}`);
  return parts.join(" · ");
}

function Branches({ chat, conversation, message }: Omit<MessageProps, "ready"> & { message: Message }) {
  const branches = branchesOf(conversation, message.id);
  if (branches.length < 2) return null;
  const at = branches.findIndex(({ id }) => id === message.id);
  return (
    <fieldset class="branches" aria-label="Branches">
      <button
        type="button"
        class="tool"
        aria-label="Previous branch"
        disabled={at === 0}
        onClick={() => chat.turn(message.id, -1)}
      >
        ‹
      </button>
      <span class="figures">
        {at + 1}/{branches.length}
      </span>
      <button
        type="button"
        class="tool"
        aria-label="Next branch"
        disabled={at === branches.length - 1}
        onClick={() => chat.turn(message.id, 1)}
      >
        ›
      </button>
    </fieldset>
  );
}

function CopyButton({ text }: { text: string }) {
  const [label, say] = useState("Copy");
  const copy = async () => {
    const copied = await navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
    say(copied ? "Copied" : "Not copied");
    setTimeout(() => say("Copy"), 1500);
  };
  return (
    <button type="button" class="tool" onClick={() => void copy()}>
      {label}
    </button>
  );
}

/** The thought, folded away, with the time it took; while it is thought, that runs. */
function Thought({ answer }: { answer: Answer }) {
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
