/** A constraint as a grammar of the engine. */
import { type Rules as GrammarRules, Rules } from "./ebnf.ts";
import { anyObject } from "./json-grammar.ts";
import { regexGrammar } from "./regex-grammar.ts";
import { schemaGrammar } from "./schema-grammar.ts";
import type { Constraint } from "./types.ts";

/** @throws UsageError for what is malformed or cannot be held to; the text of an EBNF is left to the engine. */
export function constraintGrammar(constraint: Constraint): string {
  const rules = new Rules(constraint.type === "json_schema" && constraint.compact === true);
  return constraint.type === "ebnf" ? constraint.grammar : rules.text(rootOf(constraint, rules));
}

function rootOf(constraint: Exclude<Constraint, { type: "ebnf" }>, rules: GrammarRules): string {
  switch (constraint.type) {
    case "json_object":
      return anyObject(rules);
    case "json_schema":
      return schemaGrammar(rules, constraint.schema);
    case "regex":
      return regexGrammar(constraint.pattern, (set) => rules.char(set));
  }
}
