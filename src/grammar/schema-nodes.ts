/** Reading JSON schemas: what a node may say, references, and two nodes that must both hold made one. */
import { UsageError } from "../errors.ts";
import { show } from "../util/show.ts";

export type SchemaNode = Readonly<Record<string, unknown>>;
/** A node, or whether anything at all holds. */
export type Schema = SchemaNode | boolean;

/** Keywords that narrow what holds and that no grammar here can follow. */
const REFUSED = [
  ...["if", "then", "else", "dependentSchemas", "dependentRequired", "dependencies"],
  ...["propertyNames", "minProperties", "maxProperties", "contains", "minContains", "maxContains"],
  ...["unevaluatedProperties", "unevaluatedItems", "additionalItems"],
  ...["$dynamicRef", "$recursiveRef", "$id", "$anchor"],
];
/** Values under which such a keyword asks for nothing, or for what holds here anyway. */
const HARMLESS: Readonly<Record<string, (value: unknown) => boolean>> = {
  unevaluatedProperties: () => true, // names come only where they are said
  unevaluatedItems: () => true,
  minProperties: (value) => value === 0,
  $id: () => true,
};
const ANNOTATIONS = ["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"];
const OTHERS = ["$schema", "$defs", "definitions", ...Object.keys(HARMLESS)];
const MAX_DEPTH = 64;

export function fail(path: string, what: string): never {
  throw new UsageError(`The JSON schema at ${path}: ${what}`);
}

/** `value` as a schema, refused by the name of a keyword that cannot be held to. */
export function schemaAt(value: unknown, path: string): Schema {
  if (typeof value === "boolean") return value;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return fail(path, `expected a schema (an object, true or false), got ${show(value)}.`);
  }
  const node = value as SchemaNode;
  for (const keyword of REFUSED) {
    if (!Object.hasOwn(node, keyword) || HARMLESS[keyword]?.(node[keyword])) continue;
    fail(path, `"${keyword}" is not supported. Leave it out, and check the result yourself.`);
  }
  if (path.split(".").length > MAX_DEPTH) fail(path, `expected at most ${MAX_DEPTH} levels.`);
  return node;
}

/** What of `node` narrows what holds: without names, notes and definitions. */
export function assertions(node: SchemaNode): SchemaNode {
  const rest = Object.entries(node).filter(([key]) => !ANNOTATIONS.includes(key) && !OTHERS.includes(key));
  return Object.fromEntries(rest);
}

/** The part of `root` that a `$ref` names. */
export function resolve(root: Schema, ref: unknown, path: string): Schema {
  if (typeof ref !== "string" || !/^#($|\/)/.test(ref)) {
    return fail(path, `expected a "$ref" inside the schema (#/$defs/name), got ${show(ref)}.`);
  }
  let at: unknown = root;
  for (const part of ref.split("/").slice(1)) {
    const key = decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key))
      fail(path, `"$ref" names ${ref}, which is not there.`);
    at = (at as SchemaNode)[key];
  }
  return schemaAt(at, ref);
}

/** `node` with its `$ref` in place of what it names. @throws UsageError for a reference that only comes back to itself. */
export function flat(root: Schema, schema: Schema, path: string, depth = 0): Schema {
  if (typeof schema === "boolean" || !("$ref" in schema)) return schema;
  if (depth > MAX_DEPTH) fail(path, '"$ref" leads back to itself.');
  const { $ref, ...rest } = schema;
  const target = flat(root, resolve(root, $ref, path), path, depth + 1);
  const beside = assertions(rest);
  return Object.keys(beside).length === 0 ? target : merged(root, target, beside, path, depth + 1);
}

/** A schema that holds where both do. */
export function merged(root: Schema, a: Schema, b: Schema, path: string, depth = 0): Schema {
  if (a === true || b === true) return a === true ? b : a;
  if (a === false || b === false) return false;
  const [one, two] = [flat(root, a, path, depth), flat(root, b, path, depth)];
  if (typeof one === "boolean" || typeof two === "boolean") return merged(root, one, two, path);
  closedTo(one, two, path);
  closedTo(two, one, path);
  const result: Record<string, unknown> = { ...one };
  for (const [key, value] of Object.entries(assertions(two))) {
    const held = one[key];
    if (held === undefined || sameJson(held, value)) result[key] = value;
    else result[key] = both(root, key, held, value, path);
  }
  return result;
}

/** Properties that one schema closes its list against cannot come from the other. */
function closedTo(closed: SchemaNode, other: SchemaNode, path: string): void {
  if (closed.additionalProperties === undefined || closed.additionalProperties === true) return;
  if (other.patternProperties !== undefined && !sameJson(other.patternProperties, closed.patternProperties)) {
    fail(path, '"additionalProperties" of one part rules out the "patternProperties" of another that must hold too.');
  }
  const known = Object.keys((closed.properties as SchemaNode | undefined) ?? {});
  const strange = Object.keys((other.properties as SchemaNode | undefined) ?? {}).find((name) => !known.includes(name));
  if (strange === undefined) return;
  fail(
    path,
    `"additionalProperties" of one part rules out the property ${show(strange)} of another that must hold too.`,
  );
}

function both(root: Schema, key: string, a: unknown, b: unknown, path: string): unknown {
  const [x, y] = [a, b] as [number, number];
  if (["minimum", "exclusiveMinimum", "minLength", "minItems"].includes(key)) return Math.max(x, y);
  if (["maximum", "exclusiveMaximum", "maxLength", "maxItems"].includes(key)) return Math.min(x, y);
  if (key === "required") return [...new Set([...(a as string[]), ...(b as string[])])];
  if (key === "enum") return (a as unknown[]).filter((item) => contains(b as unknown[], item));
  if (key === "type") return typesOf(a, path).filter((type) => accepts(typesOf(b, path), type));
  if (key === "items") return merged(root, schemaAt(a, path), schemaAt(b, path), path);
  if (key === "uniqueItems") return a === true || b === true;
  if (key === "not") return { anyOf: [a, b] };
  if (key === "multipleOf" && isStep(a) && isStep(b)) return (a / commonDivisor(a, b)) * b;
  if (key !== "properties" && key !== "patternProperties")
    return fail(path, `two values of "${key}" must both hold, which is not supported.`);
  const [one, two] = [a, b] as [Record<string, Schema>, Record<string, Schema>];
  const names = [...new Set([...Object.keys(one), ...Object.keys(two)])];
  return Object.fromEntries(names.map((name) => [name, merged(root, one[name] ?? true, two[name] ?? true, path)]));
}

/** A whole number that `multipleOf` can be. */
export function isStep(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0;
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

export function contains(list: readonly unknown[], item: unknown): boolean {
  return list.some((other) => sameJson(other, item));
}

/** Whether both are the same JSON; members in another order are still the same object. */
export function sameJson(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

/** JSON with the members of objects in the order of their names. */
export function canonical(value: unknown): string | undefined {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([one], [other]) => (one < other ? -1 : 1)))
      : part,
  );
}

export const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;
export type TypeName = (typeof TYPES)[number];

/** What `type` says, as a list. */
export function typesOf(type: unknown, path: string): TypeName[] {
  const list: unknown[] = Array.isArray(type) ? type : [type];
  return list.map(
    (name) =>
      TYPES.find((known) => known === name) ??
      fail(path, `"type" is ${show(name)}; expected one of ${TYPES.join(", ")}.`),
  );
}

function accepts(types: readonly TypeName[], type: TypeName): boolean {
  return types.includes(type) || (type === "integer" && types.includes("number"));
}

/** Whether `value` is of one of `types`. */
export function isOfType(value: unknown, types: readonly TypeName[]): boolean {
  const name = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  if (name === "number") return types.includes("number") || (types.includes("integer") && Number.isInteger(value));
  return types.includes(name as TypeName);
}
