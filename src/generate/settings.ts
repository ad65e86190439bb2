/**
 * What can be asked of a generation, and what it gives: plain data, and the checks of it. The defaults ask for greedy
 * tokens until the model stops; whatever needs more than the GPU's own draw says so in `needsLogits`.
 */
import { UsageError } from "../errors.ts";
import type { Constraint } from "../grammar/types.ts";
import { show } from "../util/show.ts";

export type { Constraint } from "../grammar/types.ts";

/** Where thoughts begin and end, as ids, and how long they may be. */
export interface ThinkingSettings {
  /** Ids that open a thought. */
  readonly open: readonly number[];
  /** Ids that close it. */
  readonly close: readonly number[];
  /** The timeline ends inside a thought already, as `ChatPrompt.thinking` says. Default false. */
  readonly inside?: boolean | undefined;
  /** Most tokens of a thought between its markers; then `forced` follows. Default: no bound. 0 closes at once. */
  readonly budget?: number | undefined;
  /** What is written when the budget is used up, `close` in it: `\n</think>\n\n` as ids. Default `close`. */
  readonly forced?: readonly number[] | undefined;
  /**
   * Ids that lead to the answer outside of a thought, where it does not begin at once (gpt-oss:
   * `<|channel|>final<|message|>`). Default none.
   */
  readonly answer?: readonly number[] | undefined;
}

/**
 * Sampling and stopping. `temperature` 0 is greedy; equal options, tokens and seed draw equal ids. The settings work in
 * this order: `logitBias`, penalties, `constraint`, `temperature`, `topK`, `topP`, `minP`, and the draw.
 */
export interface GenerateSettings {
  readonly maxTokens?: number | undefined;
  readonly temperature?: number | undefined;
  /** 0 keeps all. Ties at the cut are all kept. */
  readonly topK?: number | undefined;
  /** 1 keeps all. */
  readonly topP?: number | undefined;
  /** Keep tokens at least `minP` times as likely as the likeliest; 0 keeps all. */
  readonly minP?: number | undefined;
  /** 32-bit unsigned. */
  readonly seed?: number | undefined;
  readonly stopIds?: readonly number[] | undefined;
  /** -2 to 2, taken off the logit of every id that this generation drew already, thoughts and forced ids included. */
  readonly presencePenalty?: number | undefined;
  /** -2 to 2, taken off as often as this generation drew the id. */
  readonly frequencyPenalty?: number | undefined;
  /**
   * Above 0, 1 is none: logits of ids anywhere in the timeline, prompt included, are divided by it where positive and
   * multiplied where negative.
   */
  readonly repetitionPenalty?: number | undefined;
  /** Added to the logits of ids, -100 to 100 each. */
  readonly logitBias?: Readonly<Record<number, number>> | undefined;
  /**
   * 0 to 20: every token comes with its log-probability and the likeliest alternatives, in the model's own distribution:
   * that of the logits before anything here changes them. Default: none is computed.
   */
  readonly topLogprobs?: number | undefined;
  /**
   * What the answer must be; thoughts are free of it. The model's stop ids are drawn only where the text may end, and the
   * generation ends with "stop" when nothing may follow. White space in JSON is at most a space, or a line break and 32
   * spaces or tabs. Properties and items that a schema does not name come only where it says so itself.
   */
  readonly constraint?: Constraint | undefined;
  readonly thinking?: ThinkingSettings | undefined;
}

/** An id with its log-probability in the model's own distribution. */
export interface IdLogprob {
  readonly id: number;
  readonly logprob: number;
}

/** A token that a generation gave. `logprob` and `top` (likeliest first) are there when `topLogprobs` is set. */
export interface Drawn {
  readonly id: number;
  readonly logprob?: number;
  readonly top?: readonly IdLogprob[];
  /** It was written, not drawn: part of what closes a thought. */
  readonly forced?: true;
}

/** Why a generation ended: the model's stop or a complete constraint; or `maxTokens` or a full context. */
export type FinishReason = "stop" | "length";

type Given<T> = { readonly [Key in keyof T]-?: Exclude<T[Key], undefined> };

/** Settings with their defaults, checked. */
export interface CheckedSettings
  extends Given<Omit<GenerateSettings, "stopIds" | "logitBias" | "topLogprobs" | "constraint" | "thinking">> {
  readonly logitBias: ReadonlyMap<number, number>;
  readonly topLogprobs: number | undefined;
  readonly constraint: Constraint | undefined;
  readonly thinking: Given<ThinkingSettings> | undefined;
}

/** @param vocabSize ids are below it. @throws UsageError naming the setting, its value and what is expected. */
export function checkSettings(settings: GenerateSettings, vocabSize: number): CheckedSettings {
  const { maxTokens = Number.POSITIVE_INFINITY, temperature = 0, topK = 0, topP = 1, minP = 0, seed = 0 } = settings;
  const { presencePenalty = 0, frequencyPenalty = 0, repetitionPenalty = 1, topLogprobs } = settings;
  const within = (value: number, low: number, high: number): boolean => value >= low && value <= high;
  demand("maxTokens", maxTokens, maxTokens >= 0, "0 or more");
  const warm = Number.isFinite(temperature) && temperature >= 0;
  demand("temperature", temperature, warm, "0 (greedy) or a positive number");
  demand("topK", topK, Number.isInteger(topK) && topK >= 0, "0 (all) or a positive whole number");
  demand("topP", topP, within(topP, 0, 1), "a number from 0 to 1");
  demand("minP", minP, within(minP, 0, 1), "a number from 0 to 1");
  demand("seed", seed, Number.isInteger(seed) && within(seed, 0, 2 ** 32 - 1), "a whole number from 0 to 2^32 - 1");
  demand("presencePenalty", presencePenalty, within(presencePenalty, -2, 2), "a number from -2 to 2");
  demand("frequencyPenalty", frequencyPenalty, within(frequencyPenalty, -2, 2), "a number from -2 to 2");
  const finite = Number.isFinite(repetitionPenalty) && repetitionPenalty > 0;
  demand("repetitionPenalty", repetitionPenalty, finite, "a number above 0 (1 is none)");
  const counted = topLogprobs === undefined || (Number.isInteger(topLogprobs) && within(topLogprobs, 0, 20));
  demand("topLogprobs", topLogprobs, counted, "a whole number from 0 to 20");
  return {
    ...{ maxTokens, temperature, topK, topP, minP, seed },
    ...{ presencePenalty, frequencyPenalty, repetitionPenalty, topLogprobs },
    logitBias: checkBias(settings.logitBias ?? {}, vocabSize),
    constraint: settings.constraint && checkConstraint(settings.constraint),
    thinking: settings.thinking && checkThinking(settings.thinking, vocabSize),
  };
}

function checkBias(bias: Readonly<Record<number, number>>, vocabSize: number): Map<number, number> {
  const checked = new Map<number, number>();
  for (const [key, value] of Object.entries(bias)) {
    demandId("logitBias", Number(key), vocabSize);
    demand(`logitBias of id ${key}`, value, value >= -100 && value <= 100, "a number from -100 to 100");
    if (value !== 0) checked.set(Number(key), value);
  }
  return checked;
}

const CONSTRAINT_FIELDS = { json_object: undefined, json_schema: "schema", regex: "pattern", ebnf: "grammar" } as const;

/** The text of a pattern or a grammar, and what a schema says, is for the grammar engine to judge. */
function checkConstraint(constraint: Constraint): Constraint {
  const { type } = constraint;
  if (!Object.hasOwn(CONSTRAINT_FIELDS, type)) {
    demand("constraint.type", type, false, `one of ${Object.keys(CONSTRAINT_FIELDS).join(", ")}`);
  }
  const field = CONSTRAINT_FIELDS[type];
  const value = field && (constraint as unknown as Record<string, unknown>)[field];
  if (type === "json_schema") {
    const isSchema = typeof value === "boolean" || (typeof value === "object" && value && !Array.isArray(value));
    demand("constraint.schema", show(value), Boolean(isSchema), "a JSON schema: an object, true or false");
  } else if (field) demand(`constraint.${field}`, show(value), typeof value === "string", "a text");
  return constraint;
}

function checkThinking(thinking: ThinkingSettings, vocabSize: number): Given<ThinkingSettings> {
  const { open, close, inside = false, budget = Number.POSITIVE_INFINITY, forced = close, answer = [] } = thinking;
  for (const [name, ids] of Object.entries({ open, close, forced, answer })) {
    for (const id of ids) demandId(`thinking.${name}`, id, vocabSize);
  }
  demand("thinking.open", "empty", open.length > 0, "the ids that open a thought");
  demand("thinking.close", "empty", close.length > 0, "the ids that close a thought");
  const whole = budget === Number.POSITIVE_INFINITY || (Number.isInteger(budget) && budget >= 0);
  demand("thinking.budget", budget, whole, "a whole number of tokens, 0 or more");
  const closes = forced.some((_, at) => close.every((id, i) => forced[at + i] === id));
  demand("thinking.forced", show(forced), closes, `ids with those of thinking.close (${show(close)}) among them`);
  return { open, close, inside, budget, forced, answer };
}

function demandId(name: string, id: number, vocabSize: number): void {
  const ok = Number.isInteger(id) && id >= 0 && id < vocabSize;
  if (!ok) throw new UsageError(`${name} names the id ${id}; expected a whole number from 0 to ${vocabSize - 1}.`);
}

function demand(name: string, value: unknown, ok: boolean, expected: string): void {
  if (!ok) throw new UsageError(`${name} is ${value}; expected ${expected}.`);
}

/** Whether a draw needs the logits on the host: the GPU's own knows temperature, top-k and top-p. */
export function needsLogits(settings: CheckedSettings): boolean {
  const { minP, presencePenalty, frequencyPenalty, repetitionPenalty, logitBias, topLogprobs, constraint } = settings;
  const shaped = presencePenalty !== 0 || frequencyPenalty !== 0 || repetitionPenalty !== 1 || logitBias.size > 0;
  const cut = minP > 0 && settings.temperature > 0;
  return shaped || cut || topLogprobs !== undefined || constraint !== undefined;
}
