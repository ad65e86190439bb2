/**
 * A conversation to ids, so that the template's markers are special tokens and what the messages say is not, whatever
 * it spells.
 *
 * Messages may spell markers; templates trim, cut and compare what they say, so it cannot be held back and filled in
 * later. Instead a mark, a character that occurs nowhere else, is put into every string that comes from outside: behind
 * each character that could begin a special token and before each that could end one. No special token can then be made
 * of such a string, nor of its parts, nor of its ends with the template's text. (What names things, the roles of messages
 * and the fields of tools, a template may well build markers of: there only whole look-alikes are marked.) The rendered text is cut at its special
 * tokens, the marks are taken out, and the stretches are encoded as text.
 *
 * Where the template looks for markers itself (it takes thoughts out of earlier answers), marks would change what it
 * writes. Then they go only into whole look-alikes, and not into an answer's own thinking markers; the result counts
 * only if it reads like the rendering without marks and has the special tokens of the fully marked one.
 */
import { UnsupportedError, UsageError } from "../errors.ts";
import { compileTemplate } from "./chat-template.ts";
import type { ChatMessage, ChatOptions, ChatPrompt } from "./chat-types.ts";
import type { SpecialToken, Tokenizer } from "./tokenizer.ts";

/** What a prompt needs to know of the model. */
export interface ChatModel {
  readonly tokenizer: Tokenizer;
  /** Jinja texts by name. */
  readonly templates: ReadonlyMap<string, string>;
  /** `bos_token` and the like, as spelled. */
  readonly tokens: Readonly<Record<string, string>>;
  /** Markers of a thought, where the model has them. */
  readonly thinking: { readonly open: string; readonly close: string } | undefined;
}

type Value = unknown;
type Input = Readonly<Record<string, Value>>;
/** What becomes of a string of the conversation; `role` is that of its message. */
type Change = (text: string, role: string | undefined) => string;

/** Deeper than any schema of a function. */
const MAX_DEPTH = 64;

/**
 * @throws UsageError for messages that are none or that the template refuses; UnsupportedError without a template, or
 * for one that cannot be rendered.
 */
export async function chatPrompt(
  model: ChatModel,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): Promise<ChatPrompt> {
  checkMessages(messages);
  const template = chooseTemplate(model, options);
  const render = await compileTemplate(template);
  const input: Input = { tools: null, documents: null, ...options.variables, ...given(options), messages };
  const variables = { ...model.tokens, add_generation_prompt: options.addGenerationPrompt ?? true };
  const marked = markedText((values) => render({ ...variables, ...values }), model, input, template);
  const text = marked.text.replaceAll(marked.mark, "");
  const ids = model.tokenizer.encodeMarked(marked.text, marked.mark);
  return {
    text,
    ids,
    thinking: model.thinking !== undefined && text.trimEnd().endsWith(model.thinking.open.trimEnd()),
  };
}

function given({ tools }: ChatOptions): Input {
  return tools === undefined ? {} : { tools };
}

function checkMessages(messages: readonly ChatMessage[]): void {
  const valid = Array.isArray(messages) && messages.length > 0 && messages.every((m) => typeof m?.role === "string");
  if (!valid) throw new UsageError("Expected messages, at least one, each with a role and a content");
}

function chooseTemplate({ templates }: ChatModel, { template, templateName, tools }: ChatOptions): string {
  if (template !== undefined) return template;
  const preferred = tools !== undefined && templates.has("tool_use") ? "tool_use" : "default";
  const found = templates.get(templateName ?? preferred);
  if (found !== undefined) return found;
  if (templates.size === 0) {
    throw new UnsupportedError(
      "This model has no chat template: it continues text. Encode the beginning of one, or give a Jinja template as " +
        "options.template",
      { code: "no-chat-template" },
    );
  }
  const names = [...templates.keys()].join(", ");
  throw new UsageError(`No chat template "${templateName ?? preferred}"; the model has ${names}`);
}

/** The rendered text with marks inside whatever must stay text. */
function markedText(
  render: (input: Input) => string,
  model: ChatModel,
  input: Input,
  template: string,
): { text: string; mark: string } {
  const mark = unusedCharacter(template, input);
  const plain = render(input);
  const inNames = markLookAlikes(model.tokenizer, mark);
  const everywhere = change(input, markEverywhere(model.tokenizer.specials, mark), inNames);
  if (!everywhere.changed) return { text: plain, mark };
  const safe = render(everywhere.value);
  const reads = (text: string): boolean => text.replaceAll(mark, "") === plain;
  if (reads(safe)) return { text: safe, mark };
  const own = model.thinking ? [model.thinking.open, model.thinking.close] : [];
  const gentle = render(change(input, markLookAlikes(model.tokenizer, mark, own), inNames).value);
  const sameMarkers = skeleton(model.tokenizer, gentle, own) === skeleton(model.tokenizer, safe, own);
  return { text: reads(gentle) && sameMarkers ? gentle : safe, mark };
}

/** A private-use character that neither the template nor the conversation holds. */
function unusedCharacter(template: string, input: Input): string {
  const used = new Set(template);
  const look = (text: string): string => {
    for (const character of text) used.add(character);
    return text;
  };
  change(input, look, look);
  for (let code = 0xe000; code < 0xf8ff; code++) {
    const character = String.fromCharCode(code);
    if (!used.has(character)) return character;
  }
  throw new UsageError("The messages hold every private-use character of Unicode; none is left to mark them with");
}

/** Marks behind every character that begins a special token and before every one that ends one. */
function markEverywhere(specials: readonly SpecialToken[], mark: string): Change {
  const begins = new Set(specials.map(({ content }) => [...content][0]));
  const ends = new Set(specials.map(({ content }) => [...content].at(-1)));
  return (text) => {
    let marked = "";
    for (const character of text) {
      marked += (ends.has(character) ? mark : "") + character + (begins.has(character) ? mark : "");
    }
    return marked;
  };
}

/** Marks inside every special token that the text spells, but for `own` ones in what the model itself said. */
function markLookAlikes(tokenizer: Tokenizer, mark: string, own: readonly string[] = []): Change {
  return (text, role) => {
    const sections = tokenizer.splitSpecials(text).map((section) => {
      if (typeof section === "string") return section;
      const [first = "", ...rest] = section.content;
      const kept = role === "assistant" && own.includes(section.content);
      return kept ? section.content : first + mark + rest.join("");
    });
    return sections.join("");
  };
}

/** The special tokens of a text in order, `own` ones left out. */
function skeleton(tokenizer: Tokenizer, text: string, own: readonly string[]): string {
  const markers = tokenizer.splitSpecials(text).flatMap((s) => (typeof s === "string" ? [] : [s]));
  return markers.flatMap(({ id, content }) => (own.includes(content) ? [] : [id])).join();
}

/** A copy of `input` with every string as `inText` makes it, roles and field names as `inNames` does. */
function change(input: Input, inText: Change, inNames: Change): { value: Input; changed: boolean } {
  let changed = false;
  const apply = (rename: Change, text: string, role: string | undefined): string => {
    const after = rename(text, role);
    changed ||= after !== text;
    return after;
  };
  const copyFields = (fields: object, outer: string | undefined, depth: number): Input => {
    const role = "role" in fields && typeof fields.role === "string" ? fields.role : outer;
    const entries = Object.entries(fields).map(([key, value]: [string, Value]) => [
      apply(inNames, key, undefined),
      key === "role" && typeof value === "string" ? apply(inNames, value, undefined) : copy(value, role, depth + 1),
    ]);
    return Object.fromEntries(entries);
  };
  const copy = (value: Value, role: string | undefined, depth: number): Value => {
    if (depth > MAX_DEPTH) throw new UsageError(`Messages and tools may be nested ${MAX_DEPTH} deep at most`);
    if (typeof value === "string") return apply(inText, value, role);
    if (Array.isArray(value)) return value.map((item) => copy(item, role, depth + 1));
    return typeof value === "object" && value !== null ? copyFields(value, role, depth) : value;
  };
  const value = copyFields(input, undefined, 0);
  return { value, changed };
}
