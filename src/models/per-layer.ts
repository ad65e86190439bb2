/** Configurations of hybrid models: one number for all layers, or a list with one for each. */
import type { Checkpoint } from "../formats/checkpoint.ts";
import type { Fields } from "./fields.ts";

/** The whole numbers from 0 to `max` under `key`, one a layer. @throws FormatError */
export function perLayer(
  { config }: Checkpoint,
  fields: Fields,
  key: string,
  numLayers: number,
  max: number,
): readonly number[] {
  if (!Array.isArray(config[key])) return Array<number>(numLayers).fill(fields.int(key, { min: 0, max }));
  const isCount = (item: unknown): item is number =>
    typeof item === "number" && Number.isInteger(item) && item >= 0 && item <= max;
  return fields.list(key, numLayers, `whole numbers from 0 to ${max}`, isCount);
}

/** `checkpoint` with other values under some keys: what a family spells its own way, spelled as `readCommon` reads it. */
export function respelled(checkpoint: Checkpoint, values: Readonly<Record<string, unknown>>): Checkpoint {
  return { ...checkpoint, config: { ...checkpoint.config, ...values } };
}
