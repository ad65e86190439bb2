/** The engine's side of the grammar worker: who is aborted does not wait for a grammar that compiles, his own or another's. */
import { expose } from "comlink";
import { describe, expect, test } from "vitest";
import type { Allowed, Constraint, Held } from "../../../src/grammar/types.ts";
import { GrammarClient } from "../../../workers/grammar-client.ts";
import type { GrammarApi } from "../../../workers/grammar-host.ts";

const EASY: Constraint = { type: "regex", pattern: "yes" };
const HARD: Constraint = { type: "regex", pattern: "takes long" };
const ALLOWED: Allowed = { mask: new Int32Array(1), mayEnd: true, mustEnd: true };
const vocabulary = () => ({ bytes: new Uint8Array(1), ends: Uint32Array.of(1) });
const ABORTED = { name: "AbortError" };

/** Workers that hold a text to anything at once, but for `HARD`, for which they wait for `compiled`. */
function workers() {
  const alive = new Set<Worker>();
  const released: number[] = [];
  let compiled: () => void = () => {};
  const compiling = new Promise<void>((resolve) => {
    compiled = resolve;
  });
  const startGrammarWorker = (): Worker => {
    const { port1, port2 } = new MessageChannel();
    let texts = 0;
    const api: GrammarApi = {
      open: async () => {},
      hold: async ({ type, ...rest }) => {
        if ("pattern" in rest && rest.pattern === "takes long") await compiling;
        texts += 1;
        return texts;
      },
      next: async () => ALLOWED,
      release: async (text) => void released.push(text),
      aborted: async () => false,
    };
    expose(api, port2);
    const worker = Object.assign(port1, {
      terminate: () => {
        alive.delete(worker as unknown as Worker);
        port1.close();
      },
    }) as unknown as Worker;
    alive.add(worker);
    port1.start();
    return worker;
  };
  return { startGrammarWorker, alive, released, compiled: () => compiled() };
}

const soon = () => new Promise((resolve) => setTimeout(resolve, 20));

describe("while a grammar compiles", () => {
  test("an abort ends its worker where nothing else is held there, and the next has another", async () => {
    const { startGrammarWorker, alive } = workers();
    const client = new GrammarClient({ startGrammarWorker }, vocabulary);
    const stop = new AbortController();
    const holding = client.hold(HARD, stop.signal);
    await soon();
    stop.abort();
    await expect(holding).rejects.toMatchObject(ABORTED);
    expect(alive.size).toBe(0);
    const held = await client.hold(EASY);
    expect(await held.allowed()).toEqual(ALLOWED);
    held.dispose();
  });

  test("its client closes: whoever waits is told, and the worker is left to end with the engine's", async () => {
    const { startGrammarWorker, alive } = workers();
    const client = new GrammarClient({ startGrammarWorker }, vocabulary);
    const holding = client.hold(HARD);
    await soon();
    client.close();
    await expect(holding).rejects.toThrow("The grammar worker was ended.");
    expect(alive.size).toBe(1);
  });

  test("an abort does not wait for it where another text is held, and lets go of what comes late", async () => {
    const { startGrammarWorker, alive, released, compiled } = workers();
    const client = new GrammarClient({ startGrammarWorker }, vocabulary);
    const other = await client.hold(EASY);
    const stop = new AbortController();
    const holding = client.hold(HARD, stop.signal);
    stop.abort();
    await expect(holding).rejects.toMatchObject(ABORTED);
    expect(await other.allowed()).toEqual(ALLOWED); // its worker is there still
    compiled();
    await soon();
    expect(released).toEqual([2]);
    other.dispose();
    expect(alive.size).toBe(0); // nobody new was to come here
  });
});

describe("in this thread", () => {
  test("an abort waits neither for the engine nor for a grammar", async () => {
    let engine: (hold: (constraint: Constraint) => Promise<Held>) => void = () => {};
    let disposed = 0;
    const late: Held = { allowed: async () => ALLOWED, accept: () => {}, dispose: () => void disposed++ };
    const client = new GrammarClient(
      {
        holdHere: () =>
          new Promise((resolve) => {
            engine = resolve;
          }),
      },
      vocabulary,
    );
    const first = new AbortController();
    const starting = client.hold(EASY, first.signal);
    first.abort();
    await expect(starting).rejects.toMatchObject(ABORTED);
    let compiled: (held: Held) => void = () => {};
    engine(
      () =>
        new Promise((resolve) => {
          compiled = resolve;
        }),
    );
    const second = new AbortController();
    const compiling = client.hold(EASY, second.signal);
    await soon();
    second.abort();
    await expect(compiling).rejects.toMatchObject(ABORTED);
    compiled(late);
    await soon();
    expect(disposed).toBe(1);
  });
});
