/** Calls of tools as the families write them, in pieces of any size; and what only looks like one. */
import { describe, expect, test } from "vitest";
import { callFormat } from "../../../src/chat/call-formats.ts";
import { createCallReader } from "../../../src/chat/call-reader.ts";
import type { Delta } from "../../../src/chat/turn.ts";
import { createChatStream } from "../../../src/generate/chat-stream.ts";

const WEATHER = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" }, tags: { type: "array" } },
};
const SCHEMAS = new Map<string, unknown>([
  ["get_weather", WEATHER],
  ["now", undefined],
]);
const PARIS = { kind: "call", name: "get_weather", arguments: '{"city":"Paris","days":2}' } as const;
const NOW = { kind: "call", name: "now", arguments: "{}" } as const;
const say = (text: string): Delta => ({ kind: "content", text });

/** What a reader gives for `text`, cut into pieces of `size`; texts that follow each other are joined. */
function read(template: string, text: string, size: number): Delta[] {
  const reader = createCallReader(callFormat(template, []), SCHEMAS);
  const stream = createChatStream({ kind: "plain" });
  const deltas: Delta[] = [];
  for (let at = 0; at < text.length; at += size) {
    for (const part of stream.push(text.slice(at, at + size))) deltas.push(...reader.push(part));
  }
  deltas.push(...reader.flush());
  return joined(deltas);
}

function joined(deltas: readonly Delta[]): Delta[] {
  const result: Delta[] = [];
  for (const delta of deltas) {
    const last = result.at(-1);
    if (last?.kind === "content" && delta.kind === "content") result[result.length - 1] = say(last.text + delta.text);
    else result.push(delta);
  }
  return result;
}

const HERMES = "{{ tools }} <tool_call> </tool_call>";
const DEEPSEEK = "{{ tools }} <｜tool▁calls▁begin｜>";
const FAMILIES: readonly (readonly [string, string, string, readonly Delta[]])[] = [
  [
    "Qwen and Hermes",
    HERMES,
    'Let me look.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}\n</tool_call>\n' +
      '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
    [say("Let me look."), PARIS, NOW],
  ],
  [
    "Qwen3-Coder",
    HERMES,
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n2\n</parameter>\n" +
      "</function>\n</tool_call>",
    [PARIS],
  ],
  [
    "GLM",
    HERMES,
    "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n" +
      "<arg_value>2</arg_value>\n</tool_call><tool_call>now\n</tool_call>",
    [PARIS, NOW],
  ],
  [
    "Mistral",
    "{{ tools }} [TOOL_CALLS]",
    '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}, {"name": "now", "arguments": {}}]',
    [PARIS, NOW],
  ],
  [
    "Mistral, newer",
    "{{ tools }} [TOOL_CALLS]",
    '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris", "days": 2}[TOOL_CALLS]now[CALL_ID]123456789[ARGS]{}',
    [PARIS, NOW],
  ],
  [
    "Llama 3",
    "{{ tools }} ipython",
    '{"name": "get_weather", "parameters": {"city": "Paris", "days": 2}}; {"name": "now", "parameters": {}}',
    [PARIS, NOW],
  ],
  ["Llama 3, marked", "{{ tools }}", '<|python_tag|>{"name": "now", "parameters": {}}', [NOW]],
  [
    "DeepSeek V3",
    DEEPSEEK,
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Paris", "days": 2}\n```' +
      "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    [PARIS, NOW],
  ],
  [
    "DeepSeek V3.1",
    DEEPSEEK,
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris", "days": 2}<｜tool▁call▁end｜>' +
      "<｜tool▁calls▁end｜>",
    [PARIS],
  ],
  [
    "LFM2",
    "{{ tools }} <|tool_call_start|>",
    '<|tool_call_start|>[get_weather(city="Paris", days=2), now()]<|tool_call_end|>Done.',
    [PARIS, NOW, say("Done.")],
  ],
  [
    "Granite",
    "{{ tools }} <|tool_call|>",
    '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}]',
    [PARIS],
  ],
  ["Nemotron", "{{ tools }} <TOOLCALL>", '<TOOLCALL>[{"name": "now", "arguments": {}}]</TOOLCALL>', [NOW]],
];

describe.each(FAMILIES)("%s", (_, template, text, expected) => {
  test.each([1, 3, 7, 1000])("in pieces of %i", (size) => {
    expect(read(template, text, size)).toEqual(expected);
  });
});

describe("stays text", () => {
  test.each([
    ["JSON with a slip", HERMES, '<tool_call>{"name": "now", "arguments": {"a": }}</tool_call> So.'],
    ["a tool that is not there", HERMES, '<tool_call>{"name": "rm", "arguments": {}}</tool_call>'],
    ["arguments that are no object", HERMES, '<tool_call>{"name": "now", "arguments": [1]}</tool_call>'],
    ["a call that was cut off", HERMES, 'Yes. <tool_call>{"name": "now", "argu'],
    ["half a mark", HERMES, "a <tool_ca"],
    ["JSON that is the answer", "{{ tools }}", '{"answer": 42}'],
    ["JSON behind words", "{{ tools }}", 'See: {"name": "now", "parameters": {}}'],
    ["Python that computes", "{{ tools }} <|tool_call_start|>", "<|tool_call_start|>[now(a=1+1)]<|tool_call_end|>"],
    ["white space", HERMES, " \n "],
  ])("%s", (_, template, text) => {
    for (const size of [1, 5, 1000]) expect(read(template, text, size)).toEqual([say(text)]);
  });
});

test("a call whose end mark ended the turn is one", () => {
  expect(read(HERMES, '<tool_call>{"name": "now", "arguments": {}}', 4)).toEqual([NOW]);
});

test("values of tagged arguments follow the schema, and JSON where that is silent", () => {
  const text =
    "<tool_call>get_weather<arg_key>city</arg_key><arg_value>12</arg_value><arg_key>tags</arg_key>" +
    '<arg_value>["a", 1]</arg_value><arg_key>more</arg_key><arg_value>null</arg_value></tool_call>';
  const [call] = read(HERMES, text, 6);
  expect(JSON.parse((call as typeof PARIS).arguments)).toEqual({ city: "12", tags: ["a", 1], more: null });
});

test("literals of Python", () => {
  const text = `<|tool_call_start|>[get_weather(city='it\\'s "x"\\n', tags=[True, None, -1.5e3, {'k': (1, 2,)}], __proto__=1)]<|tool_call_end|>`;
  const [call] = read("{{ tools }} <|tool_call_start|>", text, 9);
  expect((call as typeof PARIS).arguments).toBe(
    '{"city":"it\'s \\"x\\"\\n","tags":[true,null,-1500,{"k":[1,2]}],"__proto__":1}',
  );
});

describe("gpt-oss", () => {
  const through = (text: string, size: number): Delta[] => {
    const reader = createCallReader(callFormat("tools", []), SCHEMAS);
    const stream = createChatStream({ kind: "channels", thinking: { open: "", close: "" } });
    const deltas: Delta[] = [];
    for (let at = 0; at < text.length; at += size) {
      for (const part of stream.push(text.slice(at, at + size))) {
        if (part.kind !== "reasoning") deltas.push(...reader.push(part));
      }
    }
    for (const part of stream.flush()) deltas.push(...reader.push(part));
    return joined([...deltas, ...reader.flush()]);
  };
  const CALL = '<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{"city":"Paris","days":2}';
  const THOUGHT = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant";

  test.each([1, 6, 1000])("names the function in the header (pieces of %i)", (size) => {
    expect(through(THOUGHT + CALL, size)).toEqual([PARIS]);
  });

  test("says something first", () => {
    const preamble = "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant";
    expect(through(preamble + CALL, 5)).toEqual([say("I look."), PARIS]);
  });

  test("names it in the message, where several could be meant", () => {
    const text = '<|channel|>commentary to=functions<|message|>{"name":"now","arguments":{}}';
    expect(through(text, 8)).toEqual([NOW]);
  });

  test("calls nobody known", () => {
    expect(through('<|channel|>commentary to=browser.open<|message|>{"id":1}', 4)).toEqual([say('{"id":1}')]);
  });
});
