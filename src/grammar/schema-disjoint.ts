/** Whether two schemas cannot hold together, as far as that is plain to see: what makes `oneOf` the same as `anyOf`. */
import { contains, flat, type Schema, type SchemaNode, typesOf } from "./schema-nodes.ts";

export function disjoint(root: Schema, a: Schema, b: Schema): boolean {
  if (typeof a === "boolean" || typeof b === "boolean") return a === false || b === false;
  const [listedA, listedB] = [listed(a), listed(b)];
  if (listedA && listedB) return !listedA.some((value) => contains(listedB, value));
  const [typesA, typesB] = [types(a), types(b)];
  if (!typesA || !typesB) return false;
  if (!typesA.some((type) => typesB.includes(type))) return true;
  if ([...typesA, ...typesB].some((type) => type !== "object")) return false;
  return required(a).some((name) => {
    const [one, two] = [a, b].map((schema) => flat(root, property(schema, name) ?? true, "#"));
    return required(b).includes(name) && disjoint(root, one ?? true, two ?? true);
  });
}

function listed(node: SchemaNode): readonly unknown[] | undefined {
  if ("const" in node) return [node.const];
  return Array.isArray(node.enum) ? node.enum : undefined;
}

/** Types of `node`, whole numbers as numbers. */
function types(node: SchemaNode): string[] | undefined {
  if (node.type === undefined) {
    const values = listed(node);
    return values?.map((value) => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value));
  }
  return typesOf(node.type, "#").map((type) => (type === "integer" ? "number" : type));
}

function required(node: SchemaNode): string[] {
  return Array.isArray(node.required) ? node.required : [];
}

function property(node: SchemaNode, name: string): Schema | undefined {
  return (node.properties as Record<string, Schema> | undefined)?.[name];
}
