/**
 * The caller's side of a model: a handle on what lives in the engine's worker, or, in Node, in this thread. Nothing is
 * computed here.
 */
import { proxy } from "comlink";
import type { ModelSpec } from "../models/spec.ts";
import type { Border } from "./border.ts";
import {
  Chat,
  type CompleteOptions,
  type CompleteRequest,
  type CompleteStreamOptions,
  type CompleteStreamRequest,
  type CompletionPrompt,
  complete,
  type ResponseStream,
} from "./chat.ts";
import type { WireSource } from "./model-source.ts";
import { Session } from "./session.ts";
import type {
  AdapterSummary,
  Advice,
  ChatFormat,
  ChatMessage,
  ChatOptions,
  ChatPrompt,
  Completion,
  CompletionChunk,
  EmbedOptions,
  EncodeOptions,
  LoadOptions,
  MemoryPlan,
  ResidencyLayer,
  SessionOptions,
  SessionSnapshot,
  Stats,
  StepEvent,
  TraceRow,
} from "./types.ts";

/**
 * Loads a model into the engine behind `border`. Whatever is thrown, that engine is gone.
 * @internal
 */
export async function openModel(
  border: Border,
  source: WireSource,
  { signal, onProgress, onWarning, ...wire }: Omit<LoadOptions, "workerUrl">,
): Promise<Model> {
  const [progress, warning] = [onProgress ? proxy(onProgress) : null, onWarning ? proxy(onWarning) : null];
  try {
    const { spec, adapter } = await border.only(signal, (host, callId) =>
      host.load(source, wire, callId, progress, warning),
    );
    return new Model(border, spec, adapter);
  } catch (error) {
    border.close();
    throw error;
  }
}

/** A loaded model. Made by `loadModel`; ends with `dispose`. */
export class Model {
  /** The model's blueprint, plain data. */
  readonly spec: ModelSpec;
  /** The adapter that the engine runs on. */
  readonly adapter: AdapterSummary;
  /** Answers conversations: `chat.completions.create`, as OpenAI's client has it. */
  readonly chat: Chat;
  readonly #border: Border;

  /** @internal */
  constructor(border: Border, spec: ModelSpec, adapter: AdapterSummary) {
    this.#border = border;
    this.spec = spec;
    this.adapter = adapter;
    this.chat = new Chat(border);
  }

  /**
   * Continues a text, or the token ids of one: `complete("Once upon a time", { max_tokens: 50 })`. Fields are those of a
   * chat as far as they are about drawing and ending; `logprobs` is a number of alternatives here.
   * @returns a `Completion`, or with `stream: true` its pieces.
   * @throws what `chat.completions.create` does.
   */
  complete(prompt: CompletionPrompt, options?: CompleteOptions): Promise<Completion>;
  complete(prompt: CompletionPrompt, options: CompleteStreamOptions): Promise<ResponseStream<CompletionChunk>>;
  complete(request: CompleteRequest): Promise<Completion>;
  complete(request: CompleteStreamRequest): Promise<ResponseStream<CompletionChunk>>;
  complete(
    prompt: CompletionPrompt | CompleteRequest | CompleteStreamRequest,
    options: CompleteOptions | CompleteStreamOptions = {},
  ): Promise<Completion | ResponseStream<CompletionChunk>> {
    return complete(this.#border, prompt, options);
  }

  /**
   * A new timeline with a KV cache of its own. Beyond the caches that were reserved when loading it takes free memory where
   * the load set no `gpuBudgetBytes`, and slots within one, or when the GPU refuses; results do not change.
   * @throws BudgetError when its cache leaves no room for the experts; `AbortError` when `options.signal` fires.
   */
  async createSession({ signal, ...options }: SessionOptions = {}): Promise<Session> {
    const opened = await this.#border.call(signal, (host, callId) => host.createSession(options, callId));
    return new Session(this.#border, opened);
  }

  /**
   * A session that goes on where a saved one was, bit for bit, without computing its tokens again. What goes on bit for bit
   * on the device that saved it is close, not equal, on another kind of device.
   * @param options `contextLength`, where given, must be the saved session's.
   * @throws FormatError for bytes that are cut short or damaged; UsageError for a snapshot of another model, or of another
   * context; BudgetError; `AbortError` when `options.signal` fires.
   */
  async restoreSession(snapshot: SessionSnapshot, { signal, ...options }: SessionOptions = {}): Promise<Session> {
    const opened = await this.#border.call(signal, (host, callId) => host.restoreSession(snapshot, options, callId));
    return new Session(this.#border, opened);
  }

  /**
   * Text as a vector [hiddenSize]: the mean over its tokens of the last hidden state, taken behind the final norm. A model
   * that was not trained for it gives a rough likeness of meaning, not more. Text is encoded as by `encode`; ids are taken as
   * they are. Runs by the prefill path in a session of its own.
   * @throws UsageError for what has no tokens or more than the model's context; UnsupportedError for text without a
   * tokenizer; BudgetError; `AbortError` when `options.signal` fires.
   */
  embed(text: string, options?: EmbedOptions): Promise<Float32Array<ArrayBuffer>>;
  embed(tokenIds: readonly number[], options?: EmbedOptions): Promise<Float32Array<ArrayBuffer>>;
  /** A vector for each text, in order. */
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array<ArrayBuffer>[]>;
  async embed(
    input: string | readonly number[] | readonly string[],
    { signal, normalize = false }: EmbedOptions = {},
  ): Promise<Float32Array<ArrayBuffer> | Float32Array<ArrayBuffer>[]> {
    const many = isTexts(input);
    const vectors = await this.#border.call(signal, (host, callId) =>
      host.embed(many ? input : [input], normalize, callId),
    );
    const [first] = vectors;
    return many || !first ? vectors : first;
  }

  /**
   * Token ids of `text`. Spellings of special tokens in it stay text unless `options.allowSpecial` says otherwise.
   * @throws UnsupportedError when the checkpoint has no tokenizer.
   */
  encode(text: string, options: EncodeOptions = {}): Promise<number[]> {
    return this.#border.call(undefined, (host) => host.encode(text, options));
  }

  /** Text of `ids`. @throws UnsupportedError when the checkpoint has no tokenizer. */
  decode(ids: readonly number[]): Promise<string> {
    return this.#border.call(undefined, (host) => host.decodeText(ids));
  }

  /**
   * A conversation as the model expects it, by its own chat template: text, and ids for `Session.prefill`. Only the
   * template's markers become special tokens, whatever the messages spell.
   * @throws UsageError for messages that the template refuses; UnsupportedError for a model without a template, unless
   * `options.template` gives one, and for a template that cannot be rendered.
   */
  chatPrompt(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<ChatPrompt> {
    return this.#border.call(undefined, (host) => host.chatPrompt(messages, options));
  }

  /** What ends the model's turns and how it marks thoughts; `createChatStream` separates these from the answer. */
  chatFormat(): Promise<ChatFormat> {
    return this.#border.call(undefined, (host) => host.chatFormat());
  }

  /** Cumulative counters since the load; each is documented at `Stats`. */
  stats(): Promise<Stats> {
    return this.#border.call(undefined, (host) => host.stats());
  }

  /** Starts or stops the background fill of the disk cache; `stats().fillState` says how it stands. */
  setFill(state: "on" | "off"): Promise<void> {
    return this.#border.call(undefined, (host) => host.setFill(state));
  }

  /** How the GPU budget is spent, and its smallest and largest useful values, in bytes. */
  memory(): Promise<MemoryPlan> {
    return this.#border.call(undefined, (host) => host.memory());
  }

  /** Changes the GPU budget between two steps; results do not change. @throws BudgetError naming the smallest that works. */
  setBudget(gpuBudgetBytes: number): Promise<MemoryPlan> {
    return this.#border.call(undefined, (host) => host.setBudget(gpuBudgetBytes));
  }

  /** What a quarter more slots would bring, and a quarter fewer cost, by the routing of the last hundred tokens or so. */
  advice(): Promise<Advice> {
    return this.#border.call(undefined, (host) => host.advice());
  }

  /** Which experts are resident now, a flag per expert of every MoE layer. */
  residency(): Promise<ResidencyLayer[]> {
    return this.#border.call(undefined, (host) => host.residency());
  }

  /** Calls `listener` after every step with what it chose, fetched and evicted; `null` stops. */
  watch(listener: ((event: StepEvent) => void) | null): Promise<void> {
    return this.#border.call(undefined, (host) => host.watch(listener ? proxy(listener) : null));
  }

  /** Starts recording the routing of every step; `takeTrace` ends it and gives the rows. */
  startTrace(): Promise<void> {
    return this.#border.call(undefined, (host) => host.startTrace());
  }

  /** Ends the recording and gives its rows, one per expert chosen, in the order of the run. */
  takeTrace(): Promise<TraceRow[]> {
    return this.#border.call(undefined, (host) => host.takeTrace());
  }

  /**
   * Frees the model, its sessions and its worker. Gives the bytes by owner that the buffer ledger still held afterwards:
   * an empty record. A second call does nothing.
   */
  async dispose(): Promise<Readonly<Record<string, number>>> {
    if (this.#border.closed) return {};
    try {
      return await this.#border.call(undefined, (host) => host.dispose());
    } finally {
      this.#border.close();
    }
  }
}

function isTexts(input: string | readonly number[] | readonly string[]): input is readonly string[] {
  return typeof input !== "string" && typeof input[0] === "string";
}
