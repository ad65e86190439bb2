/** Behind `npm run inspect`: opens the headers of a checkpoint, describes it, writes that for people or as JSON. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { parseHubId, type WireSource, wireSource } from "../src/client/model-source.ts";
import {
  type CheckpointDescription,
  DEFAULT_MAX_BINDING_BYTES,
  type DescribeOptions,
  type MemoryFacts,
} from "../src/engine/describe.ts";
import { inspectFiles, type ModelInspection } from "../src/engine/inspect.ts";
import { UnsupportedError, UsageError } from "../src/errors.ts";
import { localFileSet } from "../src/node/local-files.ts";
import type { FileSet } from "../src/sources/byte-source.ts";
import { openSource } from "../src/sources/open-source.ts";
import type { SourceHooks } from "../src/sources/source-hooks.ts";
import { humanBytes } from "../src/util/math.ts";

const USAGE =
  "npm run inspect -- FILE.gguf|FOLDER|URL|OWNER/NAME[@REVISION][:TYPE] [--context TOKENS] [--binding MIB] [--json]";

/** A model that Octavo runs. */
type Inspection = CheckpointDescription & Omit<ModelInspection, "description">;

/**
 * What the command prints for `args`; relative paths are meant from `folder`.
 * @throws what opening and describing throw; UsageError for arguments that are none.
 */
export async function inspect(args: readonly string[], folder: string): Promise<string> {
  const { source, json, options } = parse(args);
  const inspection = await inspectSource(source, folder, options);
  return json ? JSON.stringify(inspection, null, 2) : asText(inspection);
}

function parse(args: readonly string[]): { source: string; json: boolean; options: DescribeOptions } {
  const { values, positionals } = parseStrictly(args);
  const [source] = positionals;
  if (source === undefined || positionals.length > 1) {
    throw new UsageError(`Expected one source, got ${positionals.length}. ${USAGE}`);
  }
  const binding = wholeNumber("--binding", values.binding);
  return {
    source,
    json: values.json ?? false,
    options: {
      contextLength: wholeNumber("--context", values.context),
      maxBindingBytes: binding === undefined ? undefined : binding * 2 ** 20,
    },
  };
}

function parseStrictly(args: readonly string[]) {
  const text = { type: "string" } as const;
  const options = { context: text, binding: text, json: { type: "boolean" } } as const;
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}. ${USAGE}`);
  }
}

function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new UsageError(`${option} ${text}: expected a whole number, 1 or more. ${USAGE}`);
}

async function inspectSource(source: string, folder: string, options: DescribeOptions): Promise<Inspection> {
  const { description, ...facts } = await inspectFiles((hooks) => openAny(source, folder, hooks), options);
  if (description) return { ...description, ...facts };
  throw new UnsupportedError(facts.unsupported.join(" "));
}

/** A path of this machine where there is one; else an address, or a model on a hub. */
async function openAny(source: string, folder: string, hooks: SourceHooks): Promise<FileSet> {
  const path = resolve(folder, source);
  if (/^https?:\/\//i.test(source) || (!existsSync(path) && parseHubId(source))) {
    return openSource(withEnvironment(wireSource(source)), hooks);
  }
  return localFileSet(path, hooks);
}

/** Endpoint and token of a hub as its own tools take them: never from the command line, which others can read. */
function withEnvironment(source: WireSource): WireSource {
  if (typeof source !== "object" || !("repo" in source)) return source;
  const { HF_TOKEN: token, HF_ENDPOINT: endpoint } = process.env;
  return { ...(endpoint ? { endpoint } : {}), ...source, ...(token ? { token } : {}) };
}

function asText(facts: Inspection): string {
  const lines = [...modelLines(facts), ...weightLines(facts), ...memoryLines(facts)];
  for (const reason of facts.unsupported) lines.push(["unsupported", reason]);
  lines.push(["read", `${humanBytes(facts.bytesRead)} to find this out`]);
  const width = Math.max(...lines.map(([label]) => label.length)) + 2;
  return [facts.source, ...lines.map(([label, text]) => `  ${label.padEnd(width)}${text}`)].join("\n");
}

type Line = readonly [label: string, text: string];

function modelLines(facts: Inspection): Line[] {
  const { container, numShards, tokenizer } = facts;
  return [
    ["container", `${container}, ${numShards} file${numShards === 1 ? "" : "s"}`],
    ["name", facts.name],
    ["architecture", facts.architecture],
    ["layers", `${facts.numLayers}: ${facts.numDenseLayers} dense, ${facts.numMoeLayers} MoE`],
    ...mixerLines(facts),
    ["vocabulary", `${grouped(facts.vocabSize)} tokens`],
    ["context", `${grouped(facts.contextLength)} tokens`],
    ["tokenizer", tokenizer === null ? "none: the model runs on token ids" : `present, ${tokenizer}`],
  ];
}

/** How tokens meet, where that is not by attention in every layer. */
function mixerLines({ numLayers, numAttentionLayers, numConvLayers }: Inspection): Line[] {
  if (numAttentionLayers === numLayers) return [];
  const convs = numConvLayers > 0 ? `, short convolutions in ${numConvLayers}` : "";
  return [["", `attention in ${numAttentionLayers}${convs}`]];
}

function weightLines({ parameters, experts, storage, memory }: Inspection): Line[] {
  const shares = storage.map(({ dtype, share }) => `${dtype} ${(share * 100).toFixed(1)} %`);
  const lines: Line[] = [
    ["parameters", `${shortCount(parameters.total)} total, ${shortCount(parameters.active)} active per token`],
    ["storage", shares.join(", ")],
    ["dense weights", humanBytes(memory.denseBytes)],
  ];
  if (!experts) return [...lines, ["experts", "none"]];
  const { smallestBytes, largestBytes } = experts;
  const each =
    smallestBytes === largestBytes
      ? humanBytes(largestBytes)
      : `${humanBytes(smallestBytes)} to ${humanBytes(largestBytes)}`;
  return [
    ...lines,
    ["experts", `${experts.perLayer} a layer, top ${experts.topK}`],
    ["one expert", each],
    ["all experts", humanBytes(memory.expertBytes)],
  ];
}

function memoryLines({ kv, memory, contextLength }: Inspection): Line[] {
  const budgetFor = `for ${grouped(memory.contextLength)} tokens, and storage bindings`;
  const shorter = kv.longestContext < contextLength;
  const limit = shorter ? `; at most ${grouped(kv.longestContext)} tokens can be bound` : "";
  return [
    ["KV cache", `${humanBytes(kv.bytes)} at ${grouped(memory.contextLength)} tokens`],
    ["", `${humanBytes(kv.bytesPer1000Tokens)} for every 1,000 tokens past the windows`],
    ["", `${humanBytes(kv.bytesAtFullContext)} at full context${limit}`],
    ["GPU budget", `${humanBytes(memory.minBudgetBytes)} (${memory.minBudgetBytes} bytes) at least`],
    [
      "",
      `${humanBytes(memory.comfortableBudgetBytes)} (${memory.comfortableBudgetBytes} bytes): half of the experts resident`,
    ],
    ["", `${humanBytes(memory.fullBudgetBytes)} (${memory.fullBudgetBytes} bytes): ${residentThen(memory)}`],
    ["", `${budgetFor} of ${bindingText(memory.maxBindingBytes)}`],
  ];
}

function residentThen({ expertBytes, mostResidentBytes }: MemoryFacts): string {
  if (mostResidentBytes === expertBytes) return "all experts resident";
  return `${humanBytes(mostResidentBytes)} of experts resident, the most that can be bound`;
}

function bindingText(bytes: number): string {
  return `${humanBytes(bytes)}${bytes === DEFAULT_MAX_BINDING_BYTES ? ", which every WebGPU device has" : ""}`;
}

function grouped(count: number): string {
  return count.toLocaleString("en-US");
}

/** `17_226_752` -> `"17.2M"`. */
function shortCount(count: number): string {
  const units = ["", "k", "M", "B", "T"];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
  return unit === 0 ? String(count) : `${(count / 1000 ** unit).toFixed(1)}${units[unit]}`;
}
