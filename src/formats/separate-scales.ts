/**
 * Hugging Face folders keep the scales of quantised tensors in tensors of their own. Here the two become one entry of
 * the table, named as the weights are, so that nothing else knows of the convention:
 *
 *   FP8    `x` F8_E4M3 [..., rows, cols] with `x_scale_inv` or `x_scale`: a scale for every 128 x 128 tile, for every row,
 *          or for each matrix. Both are factors, in spite of the first one's name.
 *   MXFP4  `x_blocks` U8 [..., rows, blocks, 16] with `x_scales` U8 [..., rows, blocks]
 */
import { FormatError, UnsupportedError } from "../errors.ts";
import type { ScaleTable, TensorInfo } from "./checkpoint.ts";
import { BLOCKS, type PlainDType, SCALE_TILE, type ScaledDType } from "./dtype.ts";
import { isJsonObject, type JsonObject } from "./read-json.ts";

/** Storage types in the header of a safetensors file that mean something here. */
export type RawDType = PlainDType | "F8_E4M3" | "U8";

/** A tensor as the header has it. */
export interface RawTensor extends Omit<TensorInfo, "dtype" | "scales"> {
  readonly dtype: RawDType;
}

const QUANT_METHODS: readonly unknown[] = ["fp8", "compressed-tensors", "mxfp4"];
const [BLOCKS_END, SCALES_END] = ["_blocks", "_scales"];
const MXFP4_CODE_BYTES = BLOCKS.MXFP4.elements / 2;

/**
 * The table without tensors of scales: each is at the tensor that it scales. Scales of activations are left out, since
 * activations are not quantised here.
 * @throws UnsupportedError for another way of quantising; FormatError for scales that are missing or misshapen.
 */
export function joinScales(
  label: string,
  config: JsonObject,
  raw: ReadonlyMap<string, RawTensor>,
): Map<string, TensorInfo> {
  checkMethod(label, config.quantization_config);
  const joined = new Map<string, TensorInfo>();
  const taken = new Set<string>();
  const take = (name: string): RawTensor | undefined => {
    const tensor = raw.get(name);
    if (tensor) taken.add(name);
    return tensor;
  };
  for (const tensor of raw.values()) {
    const whole = tensor.dtype === "U8" ? joinMxfp4(label, tensor, take) : joinFp8(label, tensor, take);
    if (whole) joined.set(whole.name, whole);
  }
  for (const name of taken) joined.delete(name);
  return joined;
}

/** @throws UnsupportedError for a method, or a size of tiles, other than these. */
function checkMethod(label: string, method: unknown): void {
  if (!isJsonObject(method)) return;
  if (!QUANT_METHODS.includes(method.quant_method)) {
    throw new UnsupportedError(
      `${label}: "quantization_config.quant_method" is ${JSON.stringify(method.quant_method)}; ` +
        `supported: ${QUANT_METHODS.map((name) => JSON.stringify(name)).join(", ")}`,
    );
  }
  const tile: unknown = method.weight_block_size ?? [SCALE_TILE, SCALE_TILE];
  if (Array.isArray(tile) && tile.length === 2 && tile.every((size) => size === SCALE_TILE)) return;
  throw new UnsupportedError(
    `${label}: "quantization_config.weight_block_size" is ${JSON.stringify(tile)}; ` +
      `supported: [${SCALE_TILE},${SCALE_TILE}]`,
  );
}

type Take = (name: string) => RawTensor | undefined;

/** A tensor of one byte or more an element, with its scales where it is FP8. */
function joinFp8(label: string, tensor: RawTensor, take: Take): TensorInfo | undefined {
  const { name, dtype, shape } = tensor;
  if (dtype === "U8") return undefined;
  if (dtype !== "F8_E4M3") return { ...tensor, dtype };
  if (shape.length < 2) throw new UnsupportedError(`${label}: tensor "${name}": a vector as F8_E4M3 is not supported`);
  const scales = take(`${name}_scale_inv`) ?? take(`${name}_scale`);
  if (!scales || scales.dtype === "U8" || scales.dtype === "F8_E4M3") {
    const got = scales ? `"${scales.name}" as ${scales.dtype}` : "neither";
    throw new FormatError(
      `${label}: tensor "${name}" is F8_E4M3; expected its scales as "${name}_scale_inv" or "${name}_scale" in ` +
        `F32, F16 or BF16, got ${got}`,
    );
  }
  if (name.endsWith(".weight")) take(name.replace(/weight$/, "input_scale"));
  const kinds = scaleKinds(shape);
  const kind = kinds.find(({ shapes }) => shapes.some((known) => known.join() === scales.shape.join()));
  if (!kind) {
    const expected = kinds.map(({ shapes, of }) => `[${shapes[0]?.join(", ")}] (for ${of})`);
    throw new FormatError(
      `${label}: tensor "${scales.name}": expected ${expected.join(" or ")}, got [${scales.shape.join(", ")}]`,
    );
  }
  const matrices = product(shape.slice(0, -2));
  return { ...tensor, dtype: kind.dtype, scales: tableOf(scales, scales.dtype, matrices, kind.table) };
}

/** What the scales of an FP8 tensor may belong to. */
interface ScaleKind {
  readonly of: string;
  readonly dtype: ScaledDType;
  /** Shapes in use for them. */
  readonly shapes: readonly (readonly number[])[];
  readonly table: readonly [rows: number, cols: number];
}

/** For a tensor of `shape`; nothing for a vector, which no scales can suit. */
function scaleKinds(shape: readonly number[]): ScaleKind[] {
  const lead = shape.slice(0, -2);
  const [rows, cols] = shape.slice(-2);
  if (rows === undefined || cols === undefined) return [];
  const tiles = [Math.ceil(rows / SCALE_TILE), Math.ceil(cols / SCALE_TILE)] as const;
  const byRow = [
    [...lead, rows, 1],
    [...lead, rows],
  ];
  const byMatrix = [[...lead, 1, 1], [...lead, 1], lead];
  return [
    { of: `tiles of ${SCALE_TILE} x ${SCALE_TILE}`, dtype: "F8_E4M3", shapes: [[...lead, ...tiles]], table: tiles },
    { of: "rows", dtype: "F8_E4M3_ROW", shapes: byRow, table: [rows, 1] },
    { of: "the matrix", dtype: "F8_E4M3", shapes: byMatrix, table: [1, 1] },
  ];
}

/** `x_blocks` with its scales, as `x`; nothing for those scales themselves. */
function joinMxfp4(label: string, tensor: RawTensor, take: Take): TensorInfo | undefined {
  const { name, shape } = tensor;
  if (name.endsWith(SCALES_END)) {
    if (take(name.slice(0, -SCALES_END.length) + BLOCKS_END)?.dtype === "U8") return undefined;
  } else if (name.endsWith(BLOCKS_END)) {
    const base = name.slice(0, -BLOCKS_END.length);
    const scales = take(base + SCALES_END);
    const [rows, blocks, bytes] = shape.slice(-3);
    if (rows === undefined || blocks === undefined || bytes !== MXFP4_CODE_BYTES) {
      throw new FormatError(
        `${label}: tensor "${name}": expected [..., ${MXFP4_CODE_BYTES}], got [${shape.join(", ")}]`,
      );
    }
    const expected = shape.slice(0, -1).join(", ");
    if (scales?.dtype !== "U8" || scales.shape.join(", ") !== expected) {
      const got = scales ? `${scales.dtype} [${scales.shape.join(", ")}]` : "nothing";
      throw new FormatError(`${label}: expected "${base}${SCALES_END}" U8 [${expected}], got ${got}`);
    }
    const lead = shape.slice(0, -3);
    const whole = [...lead, rows, blocks * BLOCKS.MXFP4.elements];
    const table = tableOf(scales, "E8M0", product(lead), [rows, blocks]);
    return { ...tensor, name: base, dtype: "MXFP4", shape: whole, scales: table };
  }
  throw new UnsupportedError(
    `${label}: tensor "${name}" is stored as U8; supported are F32, F16, BF16, F8_E4M3, and U8 for MXFP4 as ` +
      `"x${BLOCKS_END}" with "x${SCALES_END}"`,
  );
}

function tableOf(
  { name, shard, offset, byteLength }: RawTensor,
  dtype: ScaleTable["dtype"],
  matrices: number,
  [rows, cols]: readonly [number, number],
): ScaleTable {
  return { name, dtype, shape: [matrices, rows, cols], shard, offset, byteLength };
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all * size, 1);
}
