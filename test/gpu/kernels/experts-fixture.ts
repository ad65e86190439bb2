/** Random experts in slots for the kernel tests: some resident, scattered over one, two or four slabs, some absent. */
import type { DType } from "../../../src/formats/dtype.ts";
import type { LayerSlabs, SlotMatrix } from "../../../src/kernels/slots.ts";
import { type SlabGeometry, Slabs } from "../../../src/pager/slabs.ts";
import { ABSENT } from "../../../src/pager/slot-table.ts";
import { expertLayout, type MatrixLayout, matrixLayout } from "../../../src/weights/layout.ts";
import type { ExpertWeights } from "../../reference/experts.ts";
import { type Bench, normals, randomMatrix, storableCols } from "./harness.ts";

export interface ExpertSizes {
  /** Storage types of gate, up and down. */
  readonly dtypes: readonly [gate: DType, up: DType, down: DType];
  /** Width that experts read and write; raised to what the storage types can hold. */
  readonly width: number;
  readonly inner: number;
  readonly numExperts: number;
  readonly numSlots: number;
  readonly numBindings: SlabGeometry["numBindings"];
  /** Experts without a gate matrix: the gate's storage type is not used. */
  readonly ungated?: boolean;
  /** Every matrix with biases, behind the matrices in the slot. */
  readonly biased?: boolean;
}

/** An expert's biases, [inner], [inner] and [width]. */
export interface ExpertBiases {
  readonly gate: Float32Array;
  readonly up: Float32Array;
  readonly down: Float32Array;
}

export interface RandomExperts {
  readonly width: number;
  readonly inner: number;
  readonly layer: LayerSlabs;
  readonly gate: SlotMatrix;
  readonly up: SlotMatrix;
  readonly down: SlotMatrix;
  /** Slot of every expert, or ABSENT. */
  readonly slots: Uint32Array;
  readonly resident: readonly number[];
  readonly weights: (expert: number) => ExpertWeights;
  readonly biases: (expert: number) => ExpertBiases;
}

/** A storage type in all three matrices, and a mixture; bindings that are all used and some that are not. */
export const EXPERT_CASES: readonly ExpertSizes[] = [
  { dtypes: ["F32", "F32", "F32"], width: 1, inner: 1, numExperts: 1, numSlots: 1, numBindings: 1 },
  { dtypes: ["F32", "F32", "F32"], width: 37, inner: 50, numExperts: 5, numSlots: 4, numBindings: 1 },
  { dtypes: ["F16", "F16", "F16"], width: 22, inner: 7, numExperts: 6, numSlots: 5, numBindings: 2 },
  { dtypes: ["BF16", "BF16", "BF16"], width: 9, inner: 33, numExperts: 9, numSlots: 8, numBindings: 4 },
  { dtypes: ["Q8_0", "Q8_0", "Q8_0"], width: 64, inner: 96, numExperts: 8, numSlots: 7, numBindings: 4 },
  { dtypes: ["Q8_0", "Q8_0", "Q8_0"], width: 32, inner: 32, numExperts: 7, numSlots: 5, numBindings: 4 }, // 3 slabs
  { dtypes: ["F32", "Q8_0", "F16"], width: 40, inner: 70, numExperts: 4, numSlots: 3, numBindings: 2 },
  { dtypes: ["Q4_0", "Q4_1", "Q5_0"], width: 32, inner: 96, numExperts: 4, numSlots: 3, numBindings: 2 },
  { dtypes: ["Q5_0", "Q5_1", "IQ4_NL"], width: 64, inner: 32, numExperts: 4, numSlots: 3, numBindings: 4 },
  { dtypes: ["IQ4_NL", "Q4_0", "Q4_1"], width: 96, inner: 32, numExperts: 2, numSlots: 2, numBindings: 1 },
  { dtypes: ["MXFP4", "MXFP4", "MXFP4"], width: 96, inner: 64, numExperts: 4, numSlots: 3, numBindings: 4 },
  { dtypes: ["F8_E4M3", "F8_E4M3", "F8_E4M3"], width: 150, inner: 141, numExperts: 3, numSlots: 2, numBindings: 2 },
  { dtypes: ["F8_E4M3_ROW", "F8_E4M3", "BF16"], width: 130, inner: 33, numExperts: 2, numSlots: 2, numBindings: 1 },
  { dtypes: ["Q2_K", "Q3_K", "Q5_K"], width: 256, inner: 256, numExperts: 3, numSlots: 2, numBindings: 2 },
  { dtypes: ["Q4_K", "Q4_K", "Q6_K"], width: 256, inner: 256, numExperts: 3, numSlots: 2, numBindings: 1 },
  { dtypes: ["Q6_K", "Q5_K", "Q3_K"], width: 256, inner: 256, numExperts: 2, numSlots: 2, numBindings: 2 },
  { dtypes: ["Q8_0", "Q2_K", "Q4_K"], width: 256, inner: 256, numExperts: 2, numSlots: 1, numBindings: 1 },
  { dtypes: ["Q5_1", "MXFP4", "Q2_K"], width: 32, inner: 256, numExperts: 2, numSlots: 2, numBindings: 1 },
];

export const EXPERT_TITLE = "$dtypes, $inner x $width, $numSlots of $numExperts over $numBindings";

/** Experts of random weights; as many as there are slots are placed, in random slots. */
export function randomExperts(bench: Bench, sizes: ExpertSizes): RandomExperts {
  const { random } = bench;
  const [gateType, upType, downType] = sizes.dtypes;
  const width = storableCols(gateType, storableCols(upType, sizes.width));
  const inner = storableCols(downType, sizes.inner);
  const experts = Array.from({ length: sizes.numExperts }, () => ({
    gate: randomMatrix(random, gateType, inner, width),
    up: randomMatrix(random, upType, inner, width),
    down: randomMatrix(random, downType, width, inner),
    biases: { gate: normals(random, inner), up: normals(random, inner), down: normals(random, width) },
  }));
  const gateLayout = sizes.ungated ? null : matrixLayout(gateType, inner, width);
  const layout = expertLayout(gateLayout, matrixLayout(upType, inner, width), matrixLayout(downType, width, inner));
  const innerWords = Math.ceil(inner / 4) * 4;
  const biasWords = { gate: layout.words, up: layout.words + innerWords, down: layout.words + 2 * innerWords };
  const slotWords = sizes.biased ? biasWords.down + Math.ceil(width / 4) * 4 : layout.words;
  const geometry = { slotBytes: slotWords * 4, numBindings: sizes.numBindings, maxSlots: sizes.numSlots };
  const slabs = bench.own(new Slabs(bench.gpu.ledger, geometry, sizes.numSlots, "test"));
  const order = shuffled(random.int, sizes.numExperts);
  const slots = new Uint32Array(sizes.numExperts).fill(ABSENT);
  for (const [i, slot] of shuffled(random.int, sizes.numSlots).entries()) {
    const expert = order[i]!;
    slots[expert] = slot;
    const { gate, up, down, biases } = experts[expert]!;
    const bytes = new Uint8Array(geometry.slotBytes);
    if (gateLayout) bytes.set(gate.packed, layout.gateWord * 4);
    bytes.set(up.packed, layout.upWord * 4);
    bytes.set(down.packed, layout.downWord * 4);
    for (const matrix of sizes.biased ? (["gate", "up", "down"] as const) : []) {
      bytes.set(new Uint8Array(biases[matrix].slice().buffer), biasWords[matrix] * 4);
    }
    const place = slabs.locate(slot);
    bench.gpu.queue.write(place.buffer, place.offset, bytes);
  }
  const at = ({ dtype, rows, quadsPerRow }: MatrixLayout, word: number, biasWord: number): SlotMatrix => {
    return { dtype, rows, quadsPerRow, word, biasWord: sizes.biased ? biasWord : undefined };
  };
  return {
    width,
    inner,
    layer: { slabs: slabs.bindings, slotsPerSlab: slabs.slotsPerSlab, slotWords },
    gate: at(layout.gate ?? layout.up, layout.gateWord, biasWords.gate),
    up: at(layout.up, layout.upWord, biasWords.up),
    down: at(layout.down, layout.downWord, biasWords.down),
    slots,
    resident: order.slice(0, sizes.numSlots),
    weights: (expert) => {
      const { gate, up, down } = experts[expert]!;
      return { gate: gate.values, up: up.values, down: down.values };
    },
    biases: (expert) => experts[expert]!.biases,
  };
}

/** The numbers below `count` in random order. */
export function shuffled(int: (low: number, high: number) => number, count: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = int(0, i);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
