/** What the parts of a schema ask of the whole. */
import type { Rules } from "./ebnf.ts";
import type { Schema, SchemaNode } from "./schema-nodes.ts";

/** What turns the schemas of members into grammars. */
export interface Converter {
  readonly rules: Rules;
  /** The whole schema, which references are of. */
  readonly root: Schema;
  /** `undefined` where nothing holds. */
  value(schema: Schema, path: string): string | undefined;
  /** The whole number under `key`. */
  count(node: SchemaNode, key: string, path: string): number | undefined;
}
