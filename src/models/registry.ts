/** Which module describes which architecture. Adding a family is one module and one line here. */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { Checkpoint } from "../formats/checkpoint.ts";
import { afmoe } from "./afmoe.ts";
import { deepseek2 } from "./deepseek2.ts";
import type { ModelDescription, ModelFamily } from "./family.ts";
import { glm4 } from "./glm4.ts";
import { glm4Moe } from "./glm4-moe.ts";
import { gptOss } from "./gpt-oss.ts";
import { granite, graniteMoe } from "./granite-moe.ts";
import { lfm2, lfm2Moe } from "./lfm2.ts";
import { llama } from "./llama.ts";
import { mai } from "./mai.ts";
import { nemotronH, nemotronHMoe } from "./nemotron-h.ts";
import { olmoe } from "./olmoe.ts";
import { qwen2, qwen3 } from "./qwen.ts";
import { qwen2Moe, qwen3Moe } from "./qwen-moe.ts";

const FAMILIES: readonly ModelFamily[] = [
  mai,
  qwen3Moe,
  qwen2Moe,
  llama,
  olmoe,
  graniteMoe,
  gptOss,
  glm4Moe,
  afmoe,
  lfm2,
  lfm2Moe,
  nemotronH,
  nemotronHMoe,
  qwen3,
  qwen2,
  granite,
  glm4,
  deepseek2,
];

/**
 * The blueprint and tensor names of `checkpoint`. Reads no weights.
 * @throws UnsupportedError naming an architecture that no module describes; FormatError when none is named.
 */
export function describeModel(checkpoint: Checkpoint): ModelDescription {
  const named = checkpoint.container === "gguf" ? ggufArchitecture(checkpoint) : hfArchitectures(checkpoint);
  const family = FAMILIES.find((candidate) => isMeant(candidate, checkpoint, named));
  if (family) return family.describe(checkpoint);
  const supported = FAMILIES.map(({ architecture, hfArchitectures: names }) =>
    names.length > 0 ? `${architecture} (${names.join(", ")})` : architecture,
  );
  throw new UnsupportedError(`Architecture ${named.join(", ")} is not supported; supported: ${supported.join("; ")}`);
}

function isMeant(family: ModelFamily, checkpoint: Checkpoint, named: readonly string[]): boolean {
  const own = checkpoint.container === "gguf" ? [family.architecture] : family.hfArchitectures;
  return named.some((name) => own.includes(name));
}

function ggufArchitecture(checkpoint: Checkpoint): string[] {
  const value = checkpoint.config["general.architecture"];
  if (typeof value === "string") return [value];
  throw new FormatError(`GGUF metadata: expected "general.architecture" to be a string, got ${typeof value}`);
}

function hfArchitectures(checkpoint: Checkpoint): string[] {
  const value = checkpoint.config.architectures;
  const names: readonly unknown[] = Array.isArray(value) ? value : [];
  const strings = names.filter((name) => typeof name === "string");
  if (strings.length > 0) return strings;
  throw new FormatError('config.json: expected "architectures" to list a model class, such as ["MaiForCausalLM"]');
}
