/** A chat over a model that says what a script tells it to. */
import { expect, vi } from "vitest";
import { AppState, type Runtime } from "../../../../demo/app-state.ts";
import { ChatState } from "../../../../demo/chat/chat-state.ts";
import { type Answer, pathOf } from "../../../../demo/chat/conversation.ts";
import { type History, memoryHistory } from "../../../../demo/chat/history.ts";
import { loneTab } from "../../../../demo/chat/tabs.ts";

type Delta = { content?: string; reasoning_content?: string };

/** What the scripted model was asked, and what it answers: deltas, then "stop"; a function waits for what it returns. */
export interface Script {
  readonly asked: { messages: { role: string; content: string }[]; chat_template?: string; temperature: number }[];
  /** Tokens that the model's context holds; a token is a character here. */
  readonly contextLength: number;
  answers: (Delta | (() => Promise<unknown>))[][];
}

const SPEC = { usage: null, id: "", object: "chat.completion.chunk", created: 0, model: "" };

async function* scripted(parts: Script["answers"][number], signal: AbortSignal) {
  for (const part of parts) {
    signal.throwIfAborted();
    if (typeof part === "function") {
      const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      await Promise.race([part(), aborted]);
    } else yield { ...SPEC, choices: [{ index: 0, delta: part, finish_reason: null, logprobs: null }] };
  }
  yield { ...SPEC, choices: [{ index: 0, delta: {}, finish_reason: "length", logprobs: null }] };
  const usage = { completion_tokens: parts.length, prompt_tokens: 4, prompt_tokens_details: { cached_tokens: 1 } };
  yield { ...SPEC, choices: [], usage };
}

function runtimeOf(script: Script, hasTemplate: boolean): Runtime {
  const plan = { fullBudgetBytes: 100, expertBytes: 80, minBudgetBytes: 30 };
  const model = {
    watch: async () => {},
    memory: async () => plan,
    setBudget: async () => plan,
    stats: async () => ({}),
    spec: { contextLength: script.contextLength },
    encode: async () => [],
    chatPrompt: async (messages: { content: string }[]) => ({
      ids: [...messages.map(({ content }) => content).join("")].map(() => 0),
      thinking: false,
    }),
    chatFormat: async () => ({ kind: "plain", hasTemplate, stopIds: [] }),
    dispose: async () => ({}),
    chat: {
      completions: {
        create: async (params: Script["asked"][number], { signal }: { signal: AbortSignal }) => {
          script.asked.push(params);
          return scripted(script.answers.shift() ?? [], signal);
        },
      },
    },
  };
  return { loadModel: async () => model, inspectModel: async () => ({}) } as unknown as Runtime;
}

export async function open(
  answers: Script["answers"],
  hasTemplate = true,
  history: History = memoryHistory(),
  { tabs = loneTab(), contextLength = 2048 } = {},
) {
  const script: Script = { asked: [], answers, contextLength };
  const app = new AppState(runtimeOf(script, hasTemplate));
  const chat = new ChatState(app, history, tabs);
  await chat.restore();
  await app.open({ label: "scripted", source: "./x.gguf" });
  const idle = () => vi.waitFor(() => expect(app.answering.value).toBe(false));
  return { app, chat, script, history, idle };
}

export const last = (chat: ChatState) => pathOf(chat.current.value).at(-1) as Answer;
export const texts = (chat: ChatState) => pathOf(chat.current.value).map(({ content }) => content);
