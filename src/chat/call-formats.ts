/** How the families mark calls of tools in their answers, and which of these ways a model's template speaks of. */
import {
  argumentPairs,
  type BodyParser,
  complete,
  firstOf,
  functionTags,
  jsonBodies,
  jsonBody,
  namedJson,
} from "./call-bodies.ts";
import { pythonCalls } from "./python-calls.ts";

export interface CallFormat {
  readonly name: string;
  /** What begins a block of calls. None: a block is an answer that begins with one of `bare`. */
  readonly open: readonly string[];
  readonly bare?: readonly string[];
  /** What ends it; `undefined`: the turn's end. */
  readonly close?: string | undefined;
  readonly parse: BodyParser;
  /** A call that must come begins with this, and goes on as JSON: one call, or a list with one. */
  readonly forced: string;
  readonly listed?: boolean;
  /** What the JSON of a call calls its arguments. Default `arguments`. */
  readonly key?: string;
}

const DEEPSEEK = {
  calls: "<\uff5ctool\u2581calls\u2581begin\uff5c>",
  callsEnd: "<\uff5ctool\u2581calls\u2581end\uff5c>",
  call: "<\uff5ctool\u2581call\u2581begin\uff5c>",
  callEnd: "<\uff5ctool\u2581call\u2581end\uff5c>",
  apart: "<\uff5ctool\u2581sep\uff5c>",
};

/** `name` or `function` before the mark, JSON behind it, in older versions in a fence below the name. */
const deepseekBody: BodyParser = (body) => {
  const calls = body.split(DEEPSEEK.call).slice(1);
  const parsed = calls.map((text) => {
    const [before = "", behind = ""] = (text.split(DEEPSEEK.callEnd)[0] ?? "").split(DEEPSEEK.apart);
    const fenced = /^([^\n]*)\n```(?:json)?\n([\s\S]*?)\n?```\s*$/.exec(behind);
    return fenced ? namedJson((fenced[1] ?? "").trim(), fenced[2] ?? "") : namedJson(before.trim(), behind);
  });
  return complete(parsed);
};

/** A list in JSON, or `name[ARGS]{…}`, each further one behind a mark of its own. */
const mistralBody: BodyParser = (body, schemas) => {
  const parsed = body.split("[TOOL_CALLS]").map((text) => {
    const [, name = "", json = ""] =
      /^\s*([\w.-]+)\s*(?:\[CALL_ID\][^[]*)?(?:\[ARGS\])?\s*(\{[\s\S]*)$/.exec(text) ?? [];
    return namedJson(name, json);
  });
  return jsonBody(body, schemas) ?? complete(parsed);
};

/** The first whose mark the template or the vocabulary has. */
const FORMATS: readonly CallFormat[] = [
  {
    name: "mistral",
    open: ["[TOOL_CALLS]"],
    parse: mistralBody,
    forced: "[TOOL_CALLS]",
    listed: true,
  },
  {
    name: "deepseek",
    open: [DEEPSEEK.calls],
    close: DEEPSEEK.callsEnd,
    parse: firstOf(deepseekBody, jsonBody),
    forced: DEEPSEEK.calls,
  },
  {
    name: "lfm2",
    open: ["<|tool_call_start|>"],
    close: "<|tool_call_end|>",
    parse: firstOf(jsonBody, pythonCalls),
    forced: "<|tool_call_start|>",
  },
  // Qwen and Hermes, GLM, Qwen3-Coder: the same marks around three ways to write a call.
  {
    name: "tags",
    open: ["<tool_call>"],
    close: "</tool_call>",
    parse: firstOf(jsonBody, functionTags, argumentPairs),
    forced: "<tool_call>\n",
  },
  { name: "granite", open: ["<|tool_call|>"], parse: jsonBody, forced: "<|tool_call|>", listed: true },
  { name: "nemotron", open: ["<TOOLCALL>"], close: "</TOOLCALL>", parse: jsonBody, forced: "<TOOLCALL>", listed: true },
];

/** Llama 3, and what nothing is known of: the answer is the call. */
const BARE: CallFormat = {
  name: "bare",
  open: ["<|python_tag|>"],
  bare: ["{", "["],
  parse: firstOf(jsonBodies, jsonBody, pythonCalls),
  forced: "",
  key: "parameters",
};

/** @param specials spellings of the vocabulary's special tokens. */
export function callFormat(template: string, specials: readonly string[]): CallFormat {
  const has = (mark: string): boolean => template.includes(mark) || specials.includes(mark);
  const named = FORMATS.find(({ open }) => open.some((mark) => template.includes(mark)));
  return named ?? FORMATS.find(({ open }) => open.some(has)) ?? BARE;
}
