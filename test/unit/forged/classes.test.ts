/** Forgeries by hand that chance would not find: nesting beyond the stack, shared bytes, names and shards that stand twice. */
import { expect, test } from "vitest";
import { makeGguf } from "../../fixtures/make-gguf.ts";
import { joinSafetensors } from "../../fixtures/make-safetensors.ts";
import { ORIGINALS } from "./originals.ts";
import { type Files, outcomeOf } from "./outcome.ts";

const DEEP = "[".repeat(200_000) + "]".repeat(200_000);
const utf8 = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const folder = ORIGINALS["tokenizer.json"]?.files ?? {};
const split = ORIGINALS["split GGUF"]?.files ?? {};
const x = { name: "x", dtype: "F32", shape: [8], bytes: new Uint8Array(32) } as const;

async function refusal(files: Files, entry?: string): Promise<string> {
  return (await outcomeOf(files, entry)).refusal;
}

function safetensors(header: string, bytes: number): Files {
  return { ...folder, "model.safetensors": joinSafetensors(header, [new Uint8Array(bytes)]) };
}

const place = (from: number, to: number): string =>
  `{"dtype":"F32","shape":[${(to - from) / 4}],"data_offsets":[${from},${to}]}`;

test.each(["config.json", "model.safetensors.index.json", "tokenizer.json"])(
  "%s nested beyond the stack",
  async (name) => {
    const files = ORIGINALS[name === "model.safetensors.index.json" ? "index.json" : "tokenizer.json"]?.files ?? {};
    for (const key of ["architectures", "hidden_size", "weight_map", "model", "added_tokens", "decoder"]) {
      expect(await refusal({ ...files, [name]: utf8(`{"${key}": ${DEEP}}`) })).toMatch(/^(Format|Unsupported)Error/);
    }
  },
);

test("a safetensors entry nested beyond the stack", async () => {
  expect(await refusal(safetensors(`{"a[\\"[[": ["${"[".repeat(200)}"]}`, 0))).toMatch(/expected an object, got \["\[/);
  expect(await refusal(safetensors(`{"a": ${DEEP}}`, 0))).toMatch(/at most 100 levels deep/);
});

test("tensors of safetensors that overlap, leave a hole or stand twice", async () => {
  expect(await refusal(safetensors(`{"a":${place(0, 8)},"b":${place(4, 12)}}`, 12))).toMatch(/side by side/);
  expect(await refusal(safetensors(`{"a":${place(0, 4)},"b":${place(8, 12)}}`, 12))).toMatch(
    /bytes .* are of no tensor/,
  );
  expect(await refusal(safetensors(`{"a":${place(0, 4)}}`, 12))).toMatch(/at the end, are of no tensor/);
  expect(await refusal(safetensors(`{"a":${place(0, 4)},"a":${place(4, 8)}}`, 8))).toMatch(/are of no tensor/);
});

test("tensors of a GGUF that overlap", async () => {
  const bytes = makeGguf({ metadata: { "general.architecture": "mai" }, tensors: [x, { ...x, name: "y" }] });
  const end = bytes.length - 64; // where the data begins
  const view = new DataView(bytes.buffer);
  const at = Array.from({ length: end - 8 }, (_, i) => i).findLast((i) => view.getBigUint64(i, true) === 32n) ?? 0;
  view.setBigUint64(at, 0n, true);
  expect(await refusal({ "m.gguf": bytes }, "m.gguf")).toMatch(/side by side, got "x" up to byte \d+ and "y" from/);
});

test("64-bit integers where others are expected", async () => {
  const forged = { type: "u64", value: [2n ** 63n, 1n] } as const;
  for (const key of ["mai.block_count", "general.alignment", "split.count", "tokenizer.ggml.eos_token_id"]) {
    const files = { "m.gguf": makeGguf({ metadata: { "general.architecture": "mai", [key]: forged }, tensors: [x] }) };
    expect(await refusal(files, "m.gguf")).toMatch(/^(Format|Unsupported)Error/);
  }
});

test("text that is no UTF-8, in JSON", async () => {
  for (const name of ["config.json", "tokenizer.json"]) {
    const bytes = Uint8Array.of(...utf8('{"a": "'), 0xc3, 0x28, ...utf8('"}'));
    expect(await refusal({ ...folder, [name]: bytes })).toMatch(/^FormatError: .*expected JSON/);
  }
});

test("shards of a split that are missing, the same twice, or of another model", async () => {
  const entry = "m-00001-of-00002.gguf";
  const second = "m-00002-of-00002.gguf";
  const { [entry]: first = new Uint8Array(0) } = split;
  expect(await refusal({ [entry]: first }, entry)).toMatch(/shard "m-00002-of-00002.gguf" is missing/);
  expect(await refusal({ [entry]: first, [second]: first }, entry)).toMatch(/every tensor name once/);
  const other = makeGguf({ tensors: [x] });
  expect(await refusal({ [entry]: first, [second]: other }, entry)).toMatch(/^FormatError: .*expected tensors/);
});
