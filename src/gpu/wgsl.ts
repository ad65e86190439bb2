/**
 * Joins a kernel's text with its fragments and reads the interface back from the joined text, which is its only
 * declaration: the host binds by name. WGSL files are plain WGSL; binding numbers in them are placeholders that the
 * linker assigns anew. Not a WGSL parser: it knows flat `var<uniform|storage>` bindings and scalar `Params` fields.
 */
import { UsageError } from "../errors.ts";

/** A fragment, and new names for some of its identifiers, so that one fragment can serve several matrices. */
export interface Fragment {
  readonly text: string;
  readonly rename?: Readonly<Record<string, string>>;
}

export interface Binding {
  readonly name: string;
  readonly index: number;
  readonly type: "uniform" | "read-only-storage" | "storage";
}

export interface Field {
  readonly name: string;
  readonly type: "u32" | "f32";
  /** Bytes from the start of the struct. */
  readonly offset: number;
}

export interface LinkedShader {
  readonly text: string;
  readonly bindings: readonly Binding[];
  readonly params: readonly Field[];
}

const BINDING = /@group\(0\) @binding\(\d+\) var<(uniform|storage, read|storage, read_write)> (\w+)/g;

/** The head of an entry point, up to its opening brace. */
const MAIN = /fn main\((?:[^()]|\([^()]*\))*\) \{/;

/**
 * Joins `kernel` and `fragments` into one module. Names must be unique across them after renaming; a fragment that comes
 * out the same twice, a helper that several others brought along, is joined once. `prologue` are statements that the
 * entry point begins with.
 */
export function link(kernel: string, fragments: readonly Fragment[], prologue = ""): LinkedShader {
  const begun = prologue === "" ? kernel : kernel.replace(MAIN, (head) => `${head}\n  ${prologue}`);
  const joined = [begun, ...new Set(fragments.map(renamed))].join("\n");
  const bindings: Binding[] = [];
  const text = joined.replace(BINDING, (_, space: string, name: string) => {
    const index = bindings.length;
    const type = space === "uniform" ? "uniform" : space === "storage, read" ? "read-only-storage" : "storage";
    bindings.push({ name, index, type });
    return `@group(0) @binding(${index}) var<${space}> ${name}`;
  });
  return { text, bindings, params: structFields(text, "Params") };
}

/** Scalar fields of `struct name`, each four bytes; none when the text has no such struct. */
export function structFields(text: string, name: string): Field[] {
  const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(text)?.[1];
  if (body === undefined) return [];
  const entries = body.split(",").map((entry) => entry.trim());
  return entries
    .filter((entry) => entry !== "")
    .map((entry, i) => {
      const match = /^(\w+): (u32|f32)$/.exec(entry);
      if (!match?.[1]) throw new UsageError(`struct ${name} has "${entry}"; only u32 and f32 fields are supported.`);
      return { name: match[1], type: match[2] === "u32" ? "u32" : "f32", offset: i * 4 };
    });
}

/** Bytes of `fields` filled from `values`, rounded up to a uniform's 16. @throws UsageError on a missing or extra value. */
export function packFields(fields: readonly Field[], values: Readonly<Record<string, number>>): ArrayBuffer {
  const buffer = new ArrayBuffer(Math.max(16, Math.ceil(fields.length / 4) * 16));
  const view = new DataView(buffer);
  for (const field of fields) {
    const value = values[field.name];
    if (value === undefined) throw new UsageError(`No value for field "${field.name}".`);
    if (field.type === "f32") view.setFloat32(field.offset, value, true);
    else view.setUint32(field.offset, value, true);
  }
  for (const name of Object.keys(values)) {
    if (!fields.some((field) => field.name === name)) throw new UsageError(`The struct has no field "${name}".`);
  }
  return buffer;
}

function renamed(fragment: Fragment): string {
  let text = fragment.text;
  for (const [from, to] of Object.entries(fragment.rename ?? {})) {
    text = text.replace(new RegExp(`\\b${from}\\b`, "g"), to);
  }
  return text;
}
