/**
 * Every setting of the page: its name, what it may be, what it means to a reader, and when a change takes effect. The form,
 * the check of what was stored, and the defaults all follow from this one list.
 */

export interface Sampling {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP: number;
  readonly presencePenalty: number;
  readonly frequencyPenalty: number;
  readonly repetitionPenalty: number;
  readonly maxTokens: number;
  /** `null` draws a new seed for every answer. */
  readonly seed: number | null;
}

export interface ChatSettings {
  readonly systemPrompt: string;
  /** Most tokens of a thought; `null` sets no bound. */
  readonly thinkingBudget: number | null;
  /** For models that know it; "default" says nothing. */
  readonly reasoningEffort: "default" | "low" | "medium" | "high";
}

/** What a model is loaded with. */
export interface LoadSettings {
  readonly policy: "successor" | "lfru" | "lru";
  /** `null` lets the runtime measure what is best. */
  readonly runAhead: number | null;
  readonly extraGuesses: number | null;
  readonly prefetch: "none" | "next-layer" | "history";
  /** Megabytes; `null` leaves it to the runtime. */
  readonly ramBudgetMb: number | null;
  readonly diskQuotaMb: number | null;
  /** Tokens; `null` leaves it to the runtime. */
  readonly contextLength: number | null;
}

export interface Settings extends Sampling, ChatSettings, LoadSettings {
  /** Share of all experts that may be on the GPU, in percent. */
  readonly budgetPercent: number;
}

export type SettingName = keyof Settings;

interface About {
  readonly id: string;
  readonly label: string;
  readonly note?: string;
}

export interface NumberField extends About {
  readonly kind: "number";
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly otherwise: number | null;
  /** What an empty field stands for; only fields with this may be empty. */
  readonly empty?: string;
}

export interface ChoiceField extends About {
  readonly kind: "choice";
  readonly options: readonly (readonly [value: string, label: string])[];
  readonly otherwise: string;
}

export interface TextField extends About {
  readonly kind: "text";
  readonly maxLength: number;
  readonly otherwise: string;
}

export type Field = NumberField | ChoiceField | TextField;

/** Tokens that the runtime gives a conversation when nothing else is asked for and the model has as many. */
export const DEFAULT_CONTEXT = 2048;

const number = (
  id: string,
  label: string,
  [min, max, step]: readonly [number, number, number],
  otherwise: number | null,
  more: { note?: string; empty?: string } = {},
): NumberField => ({ kind: "number", id, label, min, max, step, otherwise, ...more });

export const FIELDS: Readonly<Record<SettingName, Field>> = {
  temperature: number("temperature", "Temperature", [0, 2, 0.05], 0.8, { note: "0 takes the likeliest" }),
  topP: number("top-p", "Top-p", [0.01, 1, 0.01], 0.95, { note: "1 keeps all" }),
  topK: number("top-k", "Top-k", [0, 1_000_000, 1], 40, { note: "0 keeps all" }),
  minP: number("min-p", "Min-p", [0, 1, 0.01], 0, { note: "0 keeps all" }),
  presencePenalty: number("presence-penalty", "Presence penalty", [-2, 2, 0.1], 0, { note: "0 is none" }),
  frequencyPenalty: number("frequency-penalty", "Frequency penalty", [-2, 2, 0.1], 0, { note: "0 is none" }),
  repetitionPenalty: number("repetition-penalty", "Repetition penalty", [0.1, 5, 0.05], 1, { note: "1 is none" }),
  maxTokens: number("max-tokens", "Tokens at a time", [1, 100_000, 1], 160),
  seed: number("seed", "Seed", [0, 0xffff_ffff, 1], null, { empty: "new", note: "empty: a new one each time" }),
  systemPrompt: {
    kind: "text",
    id: "system-prompt",
    label: "System prompt",
    note: "for models with a chat template",
    maxLength: 20_000,
    otherwise: "",
  },
  thinkingBudget: number("thinking-budget", "Thinking budget", [0, 100_000, 1], null, {
    empty: "no bound",
    note: "most tokens of a thought",
  }),
  reasoningEffort: {
    kind: "choice",
    id: "reasoning-effort",
    label: "Reasoning effort",
    note: "for models that know it",
    options: [
      ["default", "the model's own"],
      ["low", "low"],
      ["medium", "medium"],
      ["high", "high"],
    ],
    otherwise: "default",
  },
  budgetPercent: number("budget-percent", "GPU budget", [0, 100, 1], 25),
  policy: {
    kind: "choice",
    id: "policy",
    label: "Who gives up a slot",
    options: [
      ["successor", "least likely to follow"],
      ["lfru", "least often and least recently used"],
      ["lru", "longest unused"],
    ],
    otherwise: "successor",
  },
  runAhead: number("run-ahead", "Run ahead of a miss", [0, 1000, 1], null, {
    empty: "measured",
    note: "MoE layers, the next token's behind this one's; empty: what measures best",
  }),
  extraGuesses: number("extra-guesses", "Extra guesses a layer", [0, 8, 1], null, {
    empty: "measured",
    note: "experts below the cut; empty: what measures best",
  }),
  prefetch: {
    kind: "choice",
    id: "prefetch",
    label: "Prefetch",
    options: [
      ["none", "none"],
      ["next-layer", "by the next layer's router"],
      ["history", "by routing history"],
    ],
    otherwise: "none",
  },
  ramBudgetMb: number("ram-budget", "Experts kept in RAM", [0, 1_000_000, 1], null, {
    empty: "a quarter",
    note: "MB; empty: a quarter of the device's memory",
  }),
  diskQuotaMb: number("disk-quota", "Models kept on disk", [0, 10_000_000, 1], null, {
    empty: "four fifths",
    note: "MB for all models; empty: four fifths of what the browser grants",
  }),
  contextLength: number("context-length", "Context", [1, 1_000_000, 1], null, {
    empty: String(DEFAULT_CONTEXT),
    note: `tokens, at most the model's; empty: ${DEFAULT_CONTEXT}`,
  }),
};

export const SAMPLING = [
  "temperature",
  "topP",
  "topK",
  "minP",
  "presencePenalty",
  "frequencyPenalty",
  "repetitionPenalty",
  "maxTokens",
  "seed",
] as const satisfies readonly (keyof Sampling)[];
export const CHAT = ["systemPrompt", "thinkingBudget", "reasoningEffort"] as const satisfies readonly SettingName[];
export const LOADING = [
  "policy",
  "runAhead",
  "extraGuesses",
  "prefetch",
  "ramBudgetMb",
  "diskQuotaMb",
  "contextLength",
] as const satisfies readonly (keyof LoadSettings)[];

/** Whether `value` is one that `field` may have. */
export function fits(field: Field, value: unknown): boolean {
  if (field.kind === "choice") return field.options.some(([name]) => name === value);
  if (field.kind === "text") return typeof value === "string" && value.length <= field.maxLength;
  if (value === null) return field.empty !== undefined;
  const whole = field.step < 1 || Number.isInteger(value);
  return typeof value === "number" && whole && value >= field.min && value <= field.max;
}

/** The settings in `stored`; what is missing or makes no sense has its default. */
export function settingsFrom(stored: Readonly<Record<string, unknown>>): Settings {
  const entries = Object.entries(FIELDS).map(([name, field]) => {
    const value = stored[name];
    return [name, fits(field, value) ? value : field.otherwise];
  });
  return Object.fromEntries(entries) as unknown as Settings;
}

export const DEFAULTS: Settings = settingsFrom({});
