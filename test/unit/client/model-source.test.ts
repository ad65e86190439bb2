/** What a page may write in place of a model, and what the worker gets for it. */
import { describe, expect, test } from "vitest";
import { parseHubId, wireSource } from "../../../src/client/model-source.ts";
import { UsageError } from "../../../src/errors.ts";

const BASE = "https://page.test/here/";

describe("ids of models on a hub", () => {
  test.each([
    ["owner/name", { repo: "owner/name" }],
    ["hf:owner/name", { repo: "owner/name" }],
    ["owner/na.me-1_b", { repo: "owner/na.me-1_b" }],
    ["owner/name@main", { repo: "owner/name", revision: "main" }],
    ["hf:owner/name@refs/pr/1:Q4_K_M", { repo: "owner/name", revision: "refs/pr/1", quantization: "Q4_K_M" }],
    ["owner/name:sub/m.gguf", { repo: "owner/name", file: "sub/m.gguf" }],
    ["https://huggingface.co/owner/name", { repo: "owner/name", endpoint: "https://huggingface.co" }],
    [
      "https://huggingface.co/owner/name/tree/v1",
      { repo: "owner/name", endpoint: "https://huggingface.co", revision: "v1" },
    ],
  ])("%s", (text, expected) => {
    expect(wireSource(text, BASE)).toEqual(expected);
  });

  test.each(["hf:", "hf:name", "hf:a/b/c", "hf:a/b@", "hf:../b"])("%s is refused", (text) => {
    expect(() => parseHubId(text)).toThrow(UsageError);
  });
});

describe("addresses", () => {
  test.each([
    ["models/tales.gguf", `${BASE}models/tales.gguf`],
    ["./owner/name", `${BASE}owner/name`],
    ["owner/name/", `${BASE}owner/name/`],
    ["a/b/c", `${BASE}a/b/c`],
    ["tales.gguf?x=1", `${BASE}tales.gguf?x=1`],
    ["https://host.test/owner/name", "https://host.test/owner/name"],
    ["https://huggingface.co/o/n/resolve/main/m.gguf", "https://huggingface.co/o/n/resolve/main/m.gguf"],
  ])("%s", (text, expected) => {
    expect(wireSource(text, BASE)).toBe(expected);
    expect(wireSource(new URL(text, BASE), BASE)).toBe(expected);
  });

  test("what is neither is refused; the rest goes over as it is", () => {
    expect(() => wireSource("http://", BASE)).toThrow(UsageError);
    expect(() => wireSource("tales.gguf")).toThrow(/neither an address nor a model on a hub/);
    const hub = { repo: "a/b", token: "t" };
    expect(wireSource(hub, BASE)).toBe(hub);
  });
});
