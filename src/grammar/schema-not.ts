/** What a "not" rules out, as far as a grammar can leave it out: listed values, types, properties. */
import { assertions, fail, flat, isOfType, type Schema, schemaAt, type TypeName, typesOf } from "./schema-nodes.ts";

export interface RuledOut {
  readonly values: readonly unknown[];
  readonly types: readonly TypeName[];
  /** Names that an object must not have. */
  readonly properties: readonly string[];
}

const NOTHING: RuledOut = { values: [], types: [], properties: [] };

/** @throws UsageError for what a grammar cannot leave out. */
export function ruledOut(root: Schema, not: unknown, path: string): RuledOut | "everything" {
  const schema = flat(root, schemaAt(not, path), path);
  if (schema === false) return NOTHING;
  const said = schema === true ? {} : assertions(schema);
  const { enum: listed, const: only, type, required, anyOf, ...rest } = said;
  const keys = Object.keys(said);
  if (keys.length === 0) return "everything";
  if (Object.keys(rest).length === 0) {
    if (Array.isArray(anyOf) && keys.length === 1) return all(anyOf.map((part) => ruledOut(root, part, path)));
    const values = "const" in said ? [only] : Array.isArray(listed) ? listed : undefined;
    if (values && !("const" in said && listed !== undefined) && required === undefined && anyOf === undefined) {
      const typed = type === undefined ? values : values.filter((value) => isOfType(value, typesOf(type, path)));
      return { ...NOTHING, values: typed };
    }
    if (type !== undefined && keys.length === 1) return { ...NOTHING, types: typesOf(type, path) };
    const [name, ...others] = Array.isArray(required) ? required : [];
    const ofObjects = type === undefined || type === "object";
    if (typeof name === "string" && others.length === 0 && ofObjects && !values && anyOf === undefined) {
      return { ...NOTHING, properties: [name] };
    }
  }
  return fail(
    path,
    '"not" is supported for "enum", "const", "type", one name in "required", and "anyOf" of these. Say what is wanted ' +
      "instead, or leave it out and check the result yourself.",
  );
}

function all(parts: readonly (RuledOut | "everything")[]): RuledOut | "everything" {
  if (parts.length === 0 || parts.includes("everything")) return parts.length === 0 ? NOTHING : "everything";
  const found = parts.filter((part) => part !== "everything");
  return {
    values: found.flatMap(({ values }) => values),
    types: found.flatMap(({ types }) => types),
    properties: found.flatMap(({ properties }) => properties),
  };
}
