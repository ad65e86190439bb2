/** The command line of virtual checkpoints: texts in, a checkpoint with its link and faults out. Runs in Node only. */
import { parseArgs } from "node:util";
import { UsageError } from "../../src/errors.ts";
import { BLOCKS, type DType, isScaled } from "../../src/formats/dtype.ts";
import type { Container } from "./blueprint.ts";
import { ladderCheckpoint, type VirtualCheckpoint, virtualFiles } from "./checkpoint.ts";
import { FAMILIES, familyBlueprint, familyVocab } from "./families.ts";
import { type FaultPlan, parseFaults } from "./faults.ts";
import { ladderShape, RUNGS } from "./ladder.ts";
import type { LinkModel } from "./link.ts";

export const USAGE = `npm run serve:virtual -- --rung ${RUNGS.join("|")} | --family NAME
  --type f32|f16|bf16|q4_0|q8_0|q4_k|mxfp4|...   storage type of the matrices; others as in real files (default q4_0)
  --format gguf|safetensors      container; safetensors holds f32, f16 and bf16 (default gguf)
  --set NAME=N,...               sizes other than the model's
  --vocab none                   no vocabulary: the model runs on token ids
  --seed N                       of all numbers (default 1)
  --shard-bytes N                most bytes of a file
  --port N                       (default 8123)
  --latency MS --bandwidth BYTES_PER_S
  --faults seed=N,after=N,cut=RATE,corrupt=RATE,429=RATE,...
families: ${FAMILIES.join(", ")}`;

export interface VirtualOptions {
  readonly checkpoint: VirtualCheckpoint;
  readonly port: number | undefined;
  readonly link: LinkModel | undefined;
  readonly faults: FaultPlan | undefined;
  readonly seed: number;
}

/** @throws UsageError for arguments that are none. */
export function parseOptions(args: readonly string[]): VirtualOptions {
  try {
    return read(args);
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
}

function read(args: readonly string[]): VirtualOptions {
  const text = { type: "string" } as const;
  const names = ["rung", "family", "type", "format", "set", "vocab", "seed", "shard-bytes", "port", "latency"] as const;
  const all = [...names, "bandwidth", "faults"] as const;
  const { values } = parseArgs({ args: [...args], options: Object.fromEntries(all.map((name) => [name, text])) });
  const given = (name: (typeof all)[number]): string | undefined => {
    const value = values[name];
    return typeof value === "string" ? value : undefined;
  };
  const number = (name: (typeof all)[number], otherwise: number): number => numberOf(name, given(name), otherwise);
  const seed = number("seed", 1);
  const faults = given("faults");
  const facts = {
    port: given("port") === undefined ? undefined : number("port", 0),
    link: linkOf(given("latency"), given("bandwidth")),
    faults: faults === undefined ? undefined : parseFaults(faults),
    seed,
  };
  // Last, for it takes a second where the vocabulary is large.
  return { ...facts, checkpoint: checkpointOf(given, seed, number("shard-bytes", Number.POSITIVE_INFINITY)) };
}

function checkpointOf(
  given: (name: "rung" | "family" | "type" | "format" | "set" | "vocab") => string | undefined,
  seed: number,
  shardBytes: number,
): VirtualCheckpoint {
  const type = typeOf(given("type") ?? "q4_0");
  const container = containerOf(given("format") ?? "gguf");
  const vocabulary = given("vocab");
  if (vocabulary !== undefined && vocabulary !== "none") throw new RangeError(`--vocab ${vocabulary}: expected none`);
  const [rung, family] = [given("rung"), given("family")];
  if ((rung === undefined) === (family === undefined)) throw new RangeError("expected one of --rung and --family");
  const set = sizesOf(given("set") ?? "");
  const files = { container, seed, shardBytes };
  if (family !== undefined) {
    const vocabularySize = vocabulary === "none" ? 0 : familyVocab(family, set);
    return virtualFiles(familyBlueprint(family, type, set), { ...files, vocabularySize });
  }
  const known = RUNGS.find((name) => name.toLowerCase() === rung?.toLowerCase());
  if (!known) throw new RangeError(`--rung ${rung}: expected one of ${RUNGS.join(", ")}`);
  const shape = Object.keys(ladderShape(known));
  const other = Object.keys(set).find((name) => !shape.includes(name));
  if (other !== undefined) throw new RangeError(`--set ${other}: expected one of ${shape.join(", ")}`);
  return ladderCheckpoint({ ...files, rung: known, type, set, vocabulary: vocabulary !== "none" });
}

function typeOf(text: string): DType {
  const types = (Object.keys(BLOCKS) as DType[]).filter((dtype) => !isScaled(dtype)); // those have tensors of scales
  const known = types.find((dtype) => dtype.toLowerCase() === text.toLowerCase());
  if (known) return known;
  throw new RangeError(`--type ${text}: expected one of ${types.join(", ").toLowerCase()}`);
}

function containerOf(text: string): Container {
  if (text === "gguf" || text === "safetensors") return text;
  throw new RangeError(`--format ${text}: expected gguf or safetensors`);
}

function sizesOf(text: string): Record<string, number> {
  const entries = text.split(",").filter(Boolean);
  return Object.fromEntries(
    entries.map((entry) => {
      const [name = "", value] = entry.split("=");
      return [name, numberOf(`set ${name}`, value, Number.NaN)];
    }),
  );
}

function linkOf(latency: string | undefined, bandwidth: string | undefined): LinkModel | undefined {
  if (latency === undefined && bandwidth === undefined) return undefined;
  return {
    latencyMs: numberOf("latency", latency, 0),
    bytesPerSecond: numberOf("bandwidth", bandwidth, Number.POSITIVE_INFINITY),
  };
}

function numberOf(name: string, text: string | undefined, otherwise: number): number {
  const number = text === undefined ? otherwise : Number(text);
  if (number >= 0) return number;
  throw new RangeError(`--${name} ${text ?? ""}: expected a number, 0 or more`);
}
