/**
 * The kept grammar engine, a WebAssembly module inside a script of about 1.1 MB. It has no errors: it prints what is wrong
 * and aborts. So its print-out is caught here, and who calls it after an abort should let it go with its worker.
 */
import type * as Library from "@mlc-ai/web-xgrammar";

export type { CompiledGrammar, GrammarCompiler, GrammarMatcher, TokenizerInfo } from "@mlc-ai/web-xgrammar";

export interface GrammarLibrary {
  readonly library: typeof Library;
  /** What the engine printed since the last call. */
  takePrinted(): string[];
}

let loading: Promise<GrammarLibrary> | undefined;

/** Loads the engine, once a thread. */
export function loadLibrary(): Promise<GrammarLibrary> {
  loading ??= load();
  return loading;
}

async function load(): Promise<GrammarLibrary> {
  const printed: string[] = [];
  return inPlace(async () => {
    const module = await import("@mlc-ai/web-xgrammar");
    const library = found(module);
    const original = console.error;
    // The engine takes hold of this function when it starts.
    console.error = (...parts: unknown[]) => void printed.push(parts.join(" "));
    try {
      (await library.Grammar.fromEBNF('root ::= "a"')).dispose();
    } finally {
      console.error = original;
    }
    return { library, takePrinted: () => printed.splice(0) };
  });
}

/** The script is neither a module nor CommonJS where this runs: then it leaves a global. */
function found(module: unknown): typeof Library {
  const { xgrammar } = globalThis as { xgrammar?: unknown };
  const places = [module, (module as { default?: unknown }).default, xgrammar];
  const place = places.find((at) => typeof at === "object" && at !== null && "GrammarCompiler" in at);
  if (!place) throw new RangeError("the grammar engine left no exports");
  return place as typeof Library;
}

/** Outside of browsers the script asks for a `require` that modules do not have, unless there is a `location`. */
async function inPlace<T>(task: () => Promise<T>): Promise<T> {
  const place = globalThis as { location?: unknown };
  if (place.location !== undefined) return task();
  place.location = { href: import.meta.url };
  try {
    return await task();
  } finally {
    delete place.location;
  }
}
