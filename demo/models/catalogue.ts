/**
 * A few public checkpoints that Octavo reads, small to large. Names and sizes are all that is here: nothing is asked of
 * any server before the reader picks one.
 */

export interface CatalogueEntry {
  readonly name: string;
  /** The repository on the hub, and which of its files. */
  readonly repo: string;
  readonly quantization: string;
  /** Size of the whole file, about; what is fetched of it is the dense part and the experts that a text uses. */
  readonly fileBytes: number;
  /** Parameters in all and for each token, in billions. */
  readonly billions: number;
  readonly activeBillions: number;
  /** Experts of a layer, and how many a token chooses. */
  readonly experts: readonly [perLayer: number, chosen: number];
}

export const CATALOGUE: readonly CatalogueEntry[] = [
  {
    name: "Granite 3.1 1B-A400M",
    repo: "bartowski/granite-3.1-1b-a400m-instruct-GGUF",
    quantization: "Q4_K_M",
    fileBytes: 0.82e9,
    billions: 1.3,
    activeBillions: 0.4,
    experts: [32, 8],
  },
  {
    name: "Granite 3.1 3B-A800M",
    repo: "bartowski/granite-3.1-3b-a800m-instruct-GGUF",
    quantization: "Q4_K_M",
    fileBytes: 2.02e9,
    billions: 3.3,
    activeBillions: 0.8,
    experts: [40, 8],
  },
  {
    name: "OLMoE 1B-7B",
    repo: "allenai/OLMoE-1B-7B-0125-Instruct-GGUF",
    quantization: "Q4_K_M",
    fileBytes: 4.21e9,
    billions: 6.9,
    activeBillions: 1.3,
    experts: [64, 8],
  },
  {
    name: "LFM2 8B-A1B",
    repo: "LiquidAI/LFM2-8B-A1B-GGUF",
    quantization: "Q4_K_M",
    fileBytes: 5.04e9,
    billions: 8.3,
    activeBillions: 1.5,
    experts: [32, 4],
  },
  {
    name: "DeepSeek Coder V2 Lite",
    repo: "bartowski/DeepSeek-Coder-V2-Lite-Instruct-GGUF",
    quantization: "Q4_K_M",
    fileBytes: 10.4e9,
    billions: 15.7,
    activeBillions: 2.4,
    experts: [64, 6],
  },
  {
    name: "gpt-oss-20b",
    repo: "ggml-org/gpt-oss-20b-GGUF",
    quantization: "MXFP4",
    fileBytes: 12.1e9,
    billions: 20.9,
    activeBillions: 3.6,
    experts: [32, 4],
  },
  {
    name: "Qwen3 30B-A3B",
    repo: "Qwen/Qwen3-30B-A3B-GGUF",
    quantization: "Q4_K_M",
    fileBytes: 18.6e9,
    billions: 30.5,
    activeBillions: 3.3,
    experts: [128, 8],
  },
];
