/** Virtual GGUF checkpoints of the families that the fixtures' own generator knows, at any size. Runs in Node only. */
import type { DType } from "../../src/formats/dtype.ts";
import { ARCHS, plan } from "../fixtures/gguf/make-gguf.mjs";
import type { GgufValue, Typed } from "../fixtures/make-gguf.ts";
import { type Blueprint, type Role, storedType } from "./blueprint.ts";

/** What the fixtures' generator says of a tensor; sizes innermost first. */
interface PlannedTensor {
  readonly name: string;
  readonly ne: readonly number[];
  readonly std: number;
  readonly mean: number;
  /** Storage type in a file of floats: F32, unless the tensor must not be anything else. */
  readonly type: string;
}

interface Plan {
  readonly h: Readonly<Record<string, number>>;
  readonly kv: readonly (readonly [key: string, type: string, value: Typed["value"]])[];
  readonly tensors: readonly PlannedTensor[];
}

export const FAMILIES: readonly string[] = Object.keys(ARCHS);

/**
 * The checkpoint of `family`, matrices in `type`.
 * @param set sizes by the generator's names: `d`, `layers`, `heads`, `kvHeads`, `hd`, `ff`, `effn`, `experts`, `topk`, `vocab`, ...
 * @throws RangeError for a family or a size that the generator does not know.
 */
export function familyBlueprint(family: string, type: DType, set: Readonly<Record<string, number>>): Blueprint {
  if (!FAMILIES.includes(family)) throw new RangeError(`no family ${family}; there are ${FAMILIES.join(", ")}`);
  const known: Readonly<Record<string, unknown>> = plan(family, {}).h;
  for (const name of Object.keys(set)) {
    if (!(name in known))
      throw new RangeError(`${family} has no size "${name}"; it has ${Object.keys(known).join(", ")}`);
  }
  const { kv, tensors }: Plan = plan(family, { variant: "f16", set });
  return {
    name: `virtual-${family}`,
    metadata: Object.fromEntries(kv.map(([key, valueType, value]) => [key, typed(valueType, value)])),
    tensors: tensors.map(({ name, ne, std, mean, type: floats }) => ({
      name,
      dtype: storedType(type, roleOf(name, floats), ne[0] ?? 1),
      shape: [...ne].reverse(),
      values: { key: name, deviation: std, mean },
      firstElement: 0,
    })),
  };
}

/** Number of tokens of `family` with these sizes. */
export function familyVocab(family: string, set: Readonly<Record<string, number>>): number {
  return Number(plan(family, { set }).h.vocab);
}

/** The generator keeps vectors, routers and other small tensors as F32 in a file of F16. */
function roleOf(name: string, typeInF16: string): Role {
  if (typeInF16 === "F32") return "vector";
  if (/^(token_embd|output)\./.test(name)) return "embedding";
  return name.includes("_exps.") ? "expert" : "matrix";
}

/** The generator's value types: GGUF's, texts as "str", arrays with "[]" behind. */
function typed(type: string, value: Typed["value"]): GgufValue {
  const name = type.replace("[]", "");
  return { type: (name === "str" ? "string" : name) as Typed["type"], value };
}
