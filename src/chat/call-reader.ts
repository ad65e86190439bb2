/**
 * Finds calls of tools in an answer while it is written. A block of calls is held back until it is whole; what then is no
 * call of a known tool was text all the time, and comes as such.
 */
import { type ChatPart, unsettledLength } from "../generate/chat-stream.ts";
import { jsonBody, namedJson, type ParsedCall, type Schemas } from "./call-bodies.ts";
import type { CallFormat } from "./call-formats.ts";
import type { CallReader, Delta } from "./turn.ts";

/** @param schemas of the tools that may be called, by name. */
export function createCallReader(format: CallFormat, schemas: Schemas): CallReader {
  const blocks = new BlockReader(format, schemas);
  const messages = new MessageReader(schemas);
  return {
    get begun() {
      return blocks.begun;
    },
    push: (part) =>
      part.recipient === undefined ? [...messages.flush(), ...blocks.push(part.text)] : messages.push(part),
    flush: () => [...messages.flush(), ...blocks.flush()],
  };
}

/** Calls between marks. */
class BlockReader {
  readonly #format: CallFormat;
  readonly #schemas: Schemas;
  #held = "";
  /** The mark of the block that the text is in. */
  #block: string | undefined;
  /** White space that calls may follow; it is nothing by itself. */
  #space = "";
  #text = false;

  constructor(format: CallFormat, schemas: Schemas) {
    this.#format = format;
    this.#schemas = schemas;
  }

  /** A block has been opened, and nothing stands in it yet. */
  get begun(): boolean {
    return this.#block !== undefined && this.#block !== "" && this.#held.trim() === "";
  }

  push(text: string): Delta[] {
    this.#held += text;
    const deltas: Delta[] = [];
    for (;;) {
      deltas.push(...(this.#block === undefined ? this.#outside() : []));
      if (this.#block === undefined) return deltas;
      const { close } = this.#format;
      const end = close === undefined || this.#block === "" ? -1 : this.#held.indexOf(close);
      if (close === undefined || end < 0) return deltas;
      const body = this.#held.slice(0, end);
      this.#held = this.#held.slice(end + close.length);
      deltas.push(...this.#calls(body, close));
    }
  }

  /** A block that the turn's end cut off may still be a call: its last mark may have ended the turn. */
  flush(): Delta[] {
    const rest = this.#held;
    this.#held = "";
    const deltas = this.#block === undefined ? this.#content(rest) : this.#calls(rest, "");
    const space = this.#space;
    this.#space = "";
    return space === "" || deltas.some(({ kind }) => kind === "call") ? deltas : [...deltas, content(space)];
  }

  /** Text up to the next mark, as far as it is settled. */
  #outside(): Delta[] {
    const { open, bare = [] } = this.#format;
    const start = this.#held.trimStart();
    if (!this.#text && bare.length > 0) {
      if (start === "") return [];
      if (bare.some((mark) => start.startsWith(mark))) {
        this.#block = "";
        return [];
      }
    }
    const found = open
      .map((mark) => ({ mark, at: this.#held.indexOf(mark) }))
      .filter(({ at }) => at >= 0)
      .sort((a, b) => a.at - b.at)[0];
    const settled = found?.at ?? this.#held.length - unsettledLength(this.#held, open);
    const deltas = this.#content(this.#held.slice(0, settled));
    this.#held = this.#held.slice(settled + (found?.mark.length ?? 0));
    this.#block = found?.mark;
    return deltas;
  }

  #calls(body: string, close: string): Delta[] {
    const mark = this.#block ?? "";
    this.#block = undefined;
    const calls = known(this.#format.parse(body, this.#schemas), this.#schemas);
    if (!calls) return this.#content(mark + body + close);
    this.#space = "";
    return calls.map((call) => ({ kind: "call", ...call }));
  }

  #content(text: string): Delta[] {
    const whole = this.#space + text;
    const kept = whole.trimEnd();
    this.#space = whole.slice(kept.length);
    if (kept === "") return [];
    this.#text = true;
    return [content(kept)];
  }
}

/** Calls that are messages of their own (gpt-oss): their header names whom they are for. */
class MessageReader {
  readonly #schemas: Schemas;
  #recipient = "";
  #json = "";

  constructor(schemas: Schemas) {
    this.#schemas = schemas;
  }

  push({ recipient = "", text }: ChatPart): Delta[] {
    const before = recipient === this.#recipient ? [] : this.flush();
    this.#recipient = recipient;
    this.#json += text;
    return before;
  }

  flush(): Delta[] {
    const [recipient, json] = [this.#recipient, this.#json];
    this.#recipient = "";
    this.#json = "";
    if (recipient === "") return [];
    const named = namedJson(recipient.replace(/^functions\./, ""), json);
    // Without a name in the header, the message has it.
    const called = recipient === "functions" ? jsonBody(json, this.#schemas) : named && [named];
    const calls = known(called, this.#schemas);
    return calls ? calls.map((one) => ({ kind: "call", ...one })) : [content(json)];
  }
}

function content(text: string): Delta {
  return { kind: "content", text };
}

function known(calls: readonly ParsedCall[] | undefined, schemas: Schemas): readonly ParsedCall[] | undefined {
  return calls?.every(({ name }) => schemas.has(name)) ? calls : undefined;
}
