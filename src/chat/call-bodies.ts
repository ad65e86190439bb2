/** What models write between the markers of a call: JSON, tagged arguments, or calls as Python spells them. */
import { isRecord } from "./fields.ts";

export interface ParsedCall {
  readonly name: string;
  /** JSON of an object. */
  readonly arguments: string;
}

/** JSON schema of a function's arguments by its name. */
export type Schemas = ReadonlyMap<string, unknown>;

/** `undefined`: this is no call. */
export type BodyParser = (body: string, schemas: Schemas) => ParsedCall[] | undefined;

/** One call or a list of them: `{"name": …, "arguments": {…}}`; Llama says `parameters`. */
export const jsonBody: BodyParser = (body) => {
  const value = parseJson(body.trim());
  const calls = (Array.isArray(value) ? value : [value]).map(jsonCall);
  return complete(calls);
};

/** The same one after another, apart by `;` or white space. */
export const jsonBodies: BodyParser = (body) => complete(splitJson(body).map((text) => jsonCall(parseJson(text))));

function jsonCall(value: unknown): ParsedCall | undefined {
  if (!isRecord(value) || typeof value.name !== "string") return undefined;
  const given = value.arguments ?? value.parameters ?? {};
  const object = typeof given === "string" ? parseJson(given) : given;
  return isRecord(object) ? { name: value.name, arguments: JSON.stringify(object) } : undefined;
}

/** `name` and a text of JSON. */
export function namedJson(name: string, json: string): ParsedCall | undefined {
  const value = parseJson(json.trim() === "" ? "{}" : json);
  return isRecord(value) && name !== "" ? { name, arguments: JSON.stringify(value) } : undefined;
}

/** GLM: the name, then pairs of `<arg_key>` and `<arg_value>`. */
export const argumentPairs: BodyParser = (body, schemas) => {
  const name = /^\s*([^\s<{]+)\s*(?=<arg_key>|$)/.exec(body)?.[1];
  if (name === undefined) return undefined;
  const pairs = [...body.matchAll(/<arg_key>([\s\S]*?)<\/arg_key>\s*<arg_value>([\s\S]*?)<\/arg_value>/g)];
  const rest = body.replace(/<arg_key>[\s\S]*?<\/arg_key>\s*<arg_value>[\s\S]*?<\/arg_value>/g, "").trim();
  if (rest !== name) return undefined;
  const given = pairs.map(([, key = "", value = ""]) => [key.trim(), typed(value, schemas.get(name), key.trim())]);
  return [{ name, arguments: JSON.stringify(Object.fromEntries(given)) }];
};

/** Qwen3-Coder, Nemotron 3: `<function=NAME><parameter=KEY>value</parameter></function>`. */
export const functionTags: BodyParser = (body, schemas) => {
  const found = /^\s*<function=([^>\s]+)>([\s\S]*?)<\/function>\s*$/.exec(body);
  if (!found) return undefined;
  const [, name = "", inside = ""] = found;
  const pairs = [...inside.matchAll(/<parameter=([^>]+)>\n?([\s\S]*?)\n?<\/parameter>/g)];
  const given = pairs.map(([, key = "", value = ""]) => [key, typed(value, schemas.get(name), key)]);
  return [{ name, arguments: JSON.stringify(Object.fromEntries(given)) }];
};

/** A tagged value is a text where the schema says so; else what JSON makes of it, and a text where that is nothing. */
function typed(value: string, schema: unknown, key: string): unknown {
  const properties = isRecord(schema) ? schema.properties : undefined;
  const property = isRecord(properties) ? properties[key] : undefined;
  if (isRecord(property) && property.type === "string") return value;
  return parseJson(value) ?? (value.trim() === "null" ? null : value);
}

/** The first body parser that makes calls of it. */
export function firstOf(...parsers: readonly BodyParser[]): BodyParser {
  return (body, schemas) => {
    for (const parse of parsers) {
      const calls = parse(body, schemas);
      if (calls) return calls;
    }
    return undefined;
  };
}

export function complete(calls: readonly (ParsedCall | undefined)[]): ParsedCall[] | undefined {
  const whole = calls.filter((call) => call !== undefined);
  return whole.length > 0 && whole.length === calls.length ? whole : undefined;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Objects that follow each other, cut where their braces close. */
function splitJson(text: string): string[] {
  const parts: string[] = [];
  let [depth, start, quoted] = [0, 0, false];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (quoted) {
      if (character === "\\") at += 1;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === "{" || character === "[") depth += 1;
    else if (character === "}" || character === "]") {
      depth -= 1;
      if (depth === 0) {
        parts.push(text.slice(start, at + 1).replace(/^[\s;,]+/, ""));
        start = at + 1;
      }
    }
  }
  const rest = text.slice(start).replace(/[\s;]+/g, "");
  return rest === "" ? parts : [...parts, rest];
}
