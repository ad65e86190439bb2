/** A blueprint as a Hugging Face folder: configuration, one safetensors file or shards with their index. */
import { isPlain } from "../../src/formats/dtype.ts";
import { joinSafetensors } from "../fixtures/make-safetensors.ts";
import type { Blueprint } from "./blueprint.ts";
import { cutIntoShards } from "./gguf-files.ts";
import { composedFile, type RangeFile, textFile } from "./range-file.ts";
import { type TensorBytes, tensorLength, type VirtualTensor } from "./tensor-bytes.ts";

/** The files by name. @throws RangeError for a blueprint without `config`, or with storage types in blocks. */
export function safetensorsFiles(
  { name, config, tensors }: Blueprint,
  bytes: TensorBytes,
  shardBytes: number,
): Map<string, RangeFile> {
  if (!config) throw new RangeError(`${name} is made as GGUF only`);
  const files = new Map([["config.json", textFile(JSON.stringify(config, null, 2))]]);
  const shards = cutIntoShards(tensors, shardBytes);
  if (shards.length === 1) return files.set("model.safetensors", safetensorsFile(tensors, bytes));
  const digits = (value: number): string => value.toString().padStart(5, "0");
  const weightMap: Record<string, string> = {};
  shards.forEach((own, index) => {
    const file = `model-${digits(index + 1)}-of-${digits(shards.length)}.safetensors`;
    files.set(file, safetensorsFile(own, bytes));
    for (const tensor of own) weightMap[tensor.name] = file;
  });
  const totalSize = tensors.reduce((sum, tensor) => sum + tensorLength(tensor), 0);
  const index = { metadata: { total_size: totalSize }, weight_map: weightMap };
  return files.set("model.safetensors.index.json", textFile(JSON.stringify(index)));
}

function safetensorsFile(tensors: readonly VirtualTensor[], bytes: TensorBytes): RangeFile {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let end = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    if (!isPlain(dtype)) throw new RangeError(`${name}: safetensors holds no ${dtype}; choose f16, bf16 or f32`);
    const length = tensorLength(tensor);
    header[name] = { dtype, shape, data_offsets: [end, end + length] };
    end += length;
  }
  const head = joinSafetensors(JSON.stringify(header), []);
  let start = head.length;
  const pieces = tensors.map((tensor) => {
    const length = tensorLength(tensor);
    start += length;
    const fill = (offset: number, target: Uint8Array) => bytes.fill(tensor, offset, target);
    return { start: start - length, length, fill };
  });
  const fillHead = (offset: number, target: Uint8Array) => target.set(head.subarray(offset, offset + target.length));
  return composedFile(start, [{ start: 0, length: head.length, fill: fillHead }, ...pieces]);
}
