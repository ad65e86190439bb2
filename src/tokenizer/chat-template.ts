/**
 * Renders Jinja chat templates with the kept library, which is loaded when the first one is. What goes wrong in a
 * template is told with its line, which the library does not know.
 */
import { type OctavoError, UnsupportedError, UsageError } from "../errors.ts";

type Context = Readonly<Record<string, unknown>>;

/** Templates in use have some hundred lines. */
const MAX_TEMPLATE_CHARACTERS = 1024 * 1024;
/** The template's own way to refuse a conversation; the library has the name for itself. */
const RAISE = /\braise_exception\b/g;
const OWN_RAISE = "octavo_raise_exception";
const LINE = "octavo_line";

/**
 * The template as a function of its variables.
 * @throws UnsupportedError for a template that cannot be read, or not be rendered; UsageError where the template itself
 * refuses the conversation. Both name the line.
 */
export async function compileTemplate(template: string): Promise<(context: Context) => string> {
  if (template.length > MAX_TEMPLATE_CHARACTERS) {
    throw new UnsupportedError(
      `Chat template: ${template.length} characters; at most ${MAX_TEMPLATE_CHARACTERS} are read`,
    );
  }
  const { Template } = await import("@huggingface/jinja");
  const source = template.replace(RAISE, OWN_RAISE);
  const parse = (text: string): { render(context: Context): string } => new Template(text);
  const parsed = parseOrExplain(parse, source);
  return (context) => {
    try {
      return parsed.render({ ...context, [OWN_RAISE]: refuse });
    } catch (error) {
      throw explained(error, failingLine(parse, source, context));
    }
  };
}

/** What the template calls to refuse a conversation. */
function refuse(message: unknown): never {
  throw new UsageError(String(message));
}

function explained(error: unknown, line: number): OctavoError {
  const text = messageOf(error);
  if (error instanceof UsageError)
    return new UsageError(`Chat template, line ${line}: it refuses the messages: ${text}`, {
      code: "messages-refused",
    });
  return new UnsupportedError(`Chat template, line ${line}: cannot be rendered: ${text}. Give another template`);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function parseOrExplain<T>(parse: (text: string) => T, source: string): T {
  try {
    return parse(source);
  } catch (error) {
    const line = parseErrorLine(parse, source, messageOf(error));
    throw new UnsupportedError(
      `Chat template, line ${line}: cannot be read: ${messageOf(error)}. Give another template`,
    );
  }
}

/** The first line up to which the template fails as the whole of it does. */
function parseErrorLine(parse: (text: string) => unknown, source: string, message: string): number {
  const lines = source.split("\n");
  const failsAlike = (count: number): boolean => {
    try {
      parse(lines.slice(0, count).join("\n"));
      return false;
    } catch (error) {
      return messageOf(error) === message;
    }
  };
  let [low, high] = [1, lines.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (failsAlike(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Renders once more, with every tag telling its line before it runs. */
function failingLine(
  parse: (text: string) => { render(context: Context): string },
  source: string,
  context: Context,
): number {
  let line = 1;
  const tell = (at: unknown): string => {
    line = Number(at);
    return "";
  };
  try {
    parse(withLines(source)).render({ ...context, [OWN_RAISE]: refuse, [LINE]: tell });
  } catch {
    // The same failure; the line is what was wanted.
  }
  return line;
}

/** The template with a call before each of its tags; spaces differ, the order of what runs does not. */
function withLines(source: string): string {
  let line = 1;
  const tag = /\n|\{#[\s\S]*?#\}|\{([%{])(?:"(?:\\[\s\S]|[^"\\])*"|'(?:\\[\s\S]|[^'\\])*'|[^"'])*?(?:%\}|\}\})/g;
  return source.replace(tag, (found, kind: string | undefined) => {
    const at = line;
    line += found.split("\n").length - 1;
    return kind === undefined ? found : `{{ ${LINE}(${at}) }}${found}`;
  });
}
