/** One message with what can be done with it: edit, retry, continue, copy, and turning to its other branches. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { ChatFormat } from "../../src/index.ts";
import { duration, figures } from "../format.ts";
import { useStore } from "../use-store.ts";
import { canGoOn } from "./answer-stream.ts";
import type { ChatState } from "./chat-state.ts";
import { viewsOf } from "./context-fit.ts";
import {
  type Answer,
  branchesOf,
  type Conversation,
  type Message,
  pathTo,
  type UserMessage,
  type View,
} from "./conversation.ts";
import { endingText } from "./ending.ts";
import { MarkdownView } from "./markdown-view.tsx";
import { hiddenOf, Initial, Prose } from "./story-text.tsx";
import { Thought } from "./thought-view.tsx";

export interface MessageProps {
  readonly chat: ChatState;
  readonly conversation: Conversation;
  /** A model is open and idle. */
  readonly ready: boolean;
  /** How that model sets thoughts apart. */
  readonly format: ChatFormat["kind"];
  /** From where on the model sees the conversation, where it does not see all of it. */
  readonly view: View | null;
}

interface UserProps extends MessageProps {
  readonly message: UserMessage;
  /** It begins a story, and is set as books set it. */
  readonly initial: boolean;
}

export function UserView({ chat, conversation, ready, view, message, initial }: UserProps) {
  const [editing, edit] = useState(false);
  if (editing) return <Editor {...{ chat, ready, message }} close={() => edit(false)} />;
  const hidden = hiddenOf(message, view);
  return (
    <article class="message user" aria-label="You">
      <div class="tools">
        <Branches {...{ chat, conversation, message }} />
        <button type="button" class="tool" disabled={!ready} onClick={() => edit(true)}>
          Edit
        </button>
      </div>
      <div class="text">
        {initial && hidden === 0 ? (
          <Initial text={message.content} />
        ) : (
          <Prose text={message.content} hidden={hidden} />
        )}
      </div>
    </article>
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

export function AnswerView({ message, ...props }: MessageProps & { message: Answer }) {
  const { chat, view } = props;
  const writing = message.state === "writing";
  const here = useStore(chat.writing) === message.id;
  return (
    <article class="message answer" aria-label={message.model} aria-busy={writing}>
      {message.reasoning !== "" && <Thought answer={message} />}
      {message.prose ? (
        <div class="text">
          <Prose text={message.content} hidden={hiddenOf(message, view)} />
        </div>
      ) : (
        <MarkdownView text={message.content} />
      )}
      {writing && <span class="caret" aria-hidden="true" />}
      {message.calls.map((call, i) => (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a long call can be scrolled by keyboard
        <pre key={i} class="call" tabIndex={0}>
          {`${call.name}(${call.arguments})`}
        </pre>
      ))}
      {writing && !here && <p class="hint">Another tab is writing this.</p>}
      {!writing && <Foot {...props} message={message} />}
    </article>
  );
}

function Foot({ chat, conversation, ready, format, message }: MessageProps & { message: Answer }) {
  return (
    <footer class="foot">
      <div class="tools">
        <Branches {...{ chat, conversation, message }} />
        <CopyButton text={message.content} />
        <button type="button" class="tool" disabled={!ready} onClick={() => chat.retry(message.id)}>
          Retry
        </button>
        {canGoOn(format, message) && (
          <button type="button" class="tool" disabled={!ready} onClick={() => chat.goOn(message.id)}>
            Continue
          </button>
        )}
        {message.state === "full" && viewsOf(pathTo(conversation, message.id), message.prose).length > 0 && (
          <button type="button" class="tool offer" disabled={!ready} onClick={() => chat.goOn(message.id, true)}>
            {message.prose ? "Go on without the beginning" : "Go on without the oldest messages"}
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
  if (took && took.promptTokens > 0) parts.push(`prompt ${took.promptTokens} tokens${kept(took.cachedTokens)}`);
  if (took && took.seed !== null) parts.push(`seed ${took.seed}`);
  return parts.join(" · ");
}

/** What of a prompt was there from the answer before. */
function kept(tokens: number): string {
  return tokens > 0 ? `, ${tokens} kept` : "";
}

function Branches({ chat, conversation, message }: Pick<MessageProps, "chat" | "conversation"> & { message: Message }) {
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
