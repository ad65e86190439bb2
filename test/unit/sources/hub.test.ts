/** Models on a hub, against a server that answers as a hub does: commit, listing, redirects, tokens, choices. */
import { afterEach, describe, expect, test } from "vitest";
import { SourceError, UsageError } from "../../../src/errors.ts";
import { type HubPlace, openHub } from "../../../src/sources/hub.ts";
import { chooseEntry } from "../../../src/sources/hub-files.ts";
import type { SourceHooks } from "../../../src/sources/source-hooks.ts";
import { COMMIT, type HubBehaviour, type HubServer, serveHub } from "../../fixtures/hub-server.ts";

const REPO = "someone/tales-GGUF";
const TOKEN = "hf_kept-to-itself";
const BIG = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 11 + (i >> 8)) & 255);
const FILES = { "README.md": new Uint8Array(5), "tales-Q4_K_M.gguf": BIG, "config.json": BIG.subarray(0, 40) };
const servers: HubServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function serve(behaviour: HubBehaviour = {}, files: Record<string, Uint8Array> = FILES): Promise<HubServer> {
  const server = await serveHub(REPO, files, behaviour);
  servers.push(server);
  return server;
}

function open(server: HubServer, place: Partial<HubPlace> = {}, hooks: SourceHooks = {}) {
  return openHub({ repo: REPO, endpoint: server.endpoint, ...place }, { retryDelaysMs: [1, 1], ...hooks });
}

describe("opening", () => {
  test("the revision becomes a commit, the file's ranges come from where the redirect ends", async () => {
    const server = await serve({ pageSize: 1 });
    const files = await open(server, { revision: "v1" });
    expect([files.label, files.entry]).toEqual([`${REPO}/tales-Q4_K_M.gguf`, "tales-Q4_K_M.gguf"]);
    const source = await files.open("tales-Q4_K_M.gguf");
    expect(source?.version).toBe("sha256 of tales-Q4_K_M.gguf");
    expect(await source?.read(100_000, 50)).toEqual(BIG.slice(100_000, 100_050));
    expect(await source?.read(150_000, 50)).toEqual(BIG.slice(150_000, 150_050));
    const asked = server.requests.map(({ at, path }) => `${at} ${path.split("?")[0]}`);
    expect(asked[0]).toBe(`hub /api/models/${REPO}/revision/v1`);
    expect(asked.filter((line) => line === `hub /api/models/${REPO}/tree/${COMMIT}`)).toHaveLength(3);
    // One redirect for three ranges.
    expect(asked.filter((line) => line.includes("/resolve/"))).toHaveLength(1);
    expect(asked.filter((line) => line === "cdn /tales-Q4_K_M.gguf")).toHaveLength(3);
  });

  test("what is not listed is not asked for", async () => {
    const server = await serve();
    const files = await open(server);
    const before = server.requests.length;
    expect(await files.open("tokenizer.json")).toBeUndefined();
    expect(server.requests).toHaveLength(before);
    await expect(files.open("../other")).rejects.toThrow(UsageError);
  });

  test("files of a folder are found beside the entry, then in the root", async () => {
    const files = { "Q4_K_M/m-00001-of-00002.gguf": BIG, "Q4_K_M/m-00002-of-00002.gguf": BIG, "tokenizer.json": BIG };
    const opened = await open(await serve({}, files));
    expect(opened.entry).toBe("m-00001-of-00002.gguf");
    expect(await (await opened.open("m-00002-of-00002.gguf"))?.size()).toBe(BIG.length);
    expect(await (await opened.open("tokenizer.json"))?.size()).toBe(BIG.length);
  });
});

describe("addresses that expire", () => {
  test("the first address is asked again, once for each expiry", async () => {
    const server = await serve();
    let reResolved = 0;
    const onReResolve = (): void => {
      reResolved += 1;
    };
    const source = await (await open(server, {}, { onReResolve })).open("tales-Q4_K_M.gguf");
    await source?.read(100_000, 5);
    server.expire();
    expect(await source?.read(100_000, 5)).toEqual(BIG.slice(100_000, 100_005));
    expect(await source?.read(110_000, 5)).toEqual(BIG.slice(110_000, 110_005));
    expect(reResolved).toBe(1);
    server.expire();
    const parallel = [120_000, 130_000, 140_000].map((at) => source?.read(at, 5));
    expect(await Promise.all(parallel)).toEqual([120_000, 130_000, 140_000].map((at) => BIG.slice(at, at + 5)));
    expect(reResolved).toBe(2);
  });
});

describe("tokens", () => {
  test("go to the hub's origin, and not to where it redirects", async () => {
    const server = await serve({ token: TOKEN });
    const source = await (await open(server, { token: TOKEN })).open("tales-Q4_K_M.gguf");
    await source?.read(100_000, 5);
    server.expire();
    await source?.read(100_000, 5);
    const seen = (at: string) => new Set(server.requests.filter((r) => r.at === at).map((r) => r.authorization));
    expect(seen("hub")).toEqual(new Set([`Bearer ${TOKEN}`]));
    expect(seen("cdn")).toEqual(new Set([undefined]));
  });

  test("are not sent along when a listing leads elsewhere", async () => {
    const elsewhere = await serve();
    const server = await serve({ token: TOKEN, pageSize: 1, nextPage: `${elsewhere.endpoint}/api/x` });
    await expect(open(server, { token: TOKEN })).rejects.toThrow(/its listing leads to/);
    expect(elsewhere.requests).toEqual([]);
  });

  test("without one, or with a wrong one, the error says what to do and shows none", async () => {
    const server = await serve({ token: TOKEN });
    await expect(open(server)).rejects.toThrow(
      /answered 401.*gated, private.*accept its licence at http.*pass a token/,
    );
    const wrong = open(server, { token: "hf_secret" });
    await expect(wrong).rejects.toThrow(/answered 403.*the token does not open it/);
    await expect(wrong).rejects.toBeInstanceOf(SourceError);
    await expect(wrong).rejects.not.toThrow(/secret/);
    const unsendable = open(server, { token: "secret\nX: y" });
    await expect(unsendable).rejects.toThrow(UsageError);
    await expect(unsendable).rejects.not.toThrow(/secret/);
  });
});

describe("a hub that says no, or nonsense", () => {
  test("no such model, no such revision", async () => {
    const server = await serve();
    for (const place of [{ repo: "someone/else" }, { revision: "v9" }]) {
      await expect(open(server, place)).rejects.toThrow(/no such model or revision/);
    }
    expect(server.requests).toHaveLength(2);
  });

  const model = `/api/models/${REPO}/revision`;
  const tree = `/api/models/${REPO}/tree`;
  test.each([
    [model, "<html>"],
    [model, "[]"],
    [model, '{"sha":"../../x"}'],
    [tree, "{}"],
    [tree, "[null]"],
  ])("%s answers %s", async (path, body) => {
    const server = await serve({ answers: { [path]: { status: 200, body } } });
    await expect(open(server)).rejects.toBeInstanceOf(SourceError);
  });

  test("entries that are no files, leave the folder or have no size are passed over", async () => {
    const entries = [
      { type: "file", path: "../x.gguf", size: 1 },
      { type: "file", path: 7, size: 1 },
      { type: "directory", path: "d.gguf", size: 0 },
      { type: "file", path: "negative.gguf", size: -1 },
      { type: "file", path: "ok.gguf", size: 10, oid: {} },
    ];
    const server = await serve({ answers: { [tree]: { status: 200, body: JSON.stringify(entries) } } });
    expect((await open(server)).entry).toBe("ok.gguf");
  });

  test("trouble that passes is tried again; abort ends it", async () => {
    const server = await serve({ answers: { [tree]: { status: 503, body: "" } } });
    await expect(open(server)).rejects.toThrow(/answered 503.*gave up after 3 tries/);
    const aborted = openHub({ repo: REPO, endpoint: server.endpoint }, {}, AbortSignal.abort());
    await expect(aborted).rejects.toMatchObject({ name: "AbortError" });
  });

  test.each(["", "ftp://x", "http://user:secret@host", "huggingface.co"])("endpoint %j", async (endpoint) => {
    const failure = openHub({ repo: REPO, endpoint }, {});
    await expect(failure).rejects.toThrow(UsageError);
    await expect(failure).rejects.not.toThrow(/secret/);
  });
});

describe("choosing", () => {
  const file = (path: string, bytes = 1000) => ({ path, bytes });
  const choose = (paths: readonly string[], wish = {}) =>
    chooseEntry(
      "o/n",
      paths.map((path) => file(path)),
      wish,
    );

  test("well-tried types come first, what is no model is left out", () => {
    expect(choose(["m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-Q4_0.gguf"])).toBe("m-Q4_K_M.gguf");
    expect(choose(["m-F16.gguf", "m-MXFP4_MOE.gguf", "m-Q4_0.gguf"])).toBe("m-MXFP4_MOE.gguf");
    expect(choose(["m.q5_k_m.gguf", "m.fp16.gguf"])).toBe("m.q5_k_m.gguf");
    expect(choose(["m-IQ1_S.gguf"])).toBe("m-IQ1_S.gguf");
    const others = ["mmproj-m-F16.gguf", "m.imatrix.gguf", "ggml-vocab-m.gguf", "mtp-m-Q4_K_M.gguf"];
    expect(choose([...others, "m-Q6_K.gguf"])).toBe("m-Q6_K.gguf");
  });

  test("by type, by file, by folder", () => {
    const paths = ["m-Q4_K_M.gguf", "m-UD-Q4_K_XL.gguf", "BF16/m-00002-of-00002.gguf", "BF16/m-00001-of-00002.gguf"];
    expect(choose(paths, { quantization: "ud-q4_k_xl" })).toBe("m-UD-Q4_K_XL.gguf");
    expect(choose(paths, { quantization: "bf16" })).toBe("BF16/m-00001-of-00002.gguf");
    expect(choose(paths, { file: "m-UD-Q4_K_XL.gguf" })).toBe("m-UD-Q4_K_XL.gguf");
  });

  test("a safetensors folder where there is no GGUF", () => {
    expect(choose(["config.json", "model.safetensors"])).toBeUndefined();
    expect(choose(["config.json", "model.safetensors.index.json", "mmproj-F16.gguf"])).toBeUndefined();
    expect(choose(["config.json", "model.safetensors", "m-Q8_0.gguf"])).toBe("m-Q8_0.gguf");
  });

  test("what is ambiguous or missing is refused with the choices and their sizes", () => {
    const refused = (paths: readonly string[], wish: object, message: RegExp): void => {
      expect(() => choose(paths, wish)).toThrow(message);
      expect(() => choose(paths, wish)).toThrow(UsageError);
    };
    refused(["a-Q4_0.gguf", "b-Q4_0.gguf"], {}, /2 GGUF models, and several are.*a-Q4_0.gguf \(1000 B\), b-Q4_0/);
    refused(["a-IQ2_M.gguf", "a-IQ3_M.gguf"], {}, /none is of a type that is taken by itself/);
    refused(["a-Q4_0.gguf"], { quantization: "Q4_K_M" }, /none is Q4_K_M.*a-Q4_0/);
    refused(["a-Q4_0.gguf"], { file: "b.gguf" }, /no GGUF file "b.gguf".*a-Q4_0.gguf/);
    refused(["a-Q4_0-00001-of-00002.gguf"], {}, /lacks its shard "a-Q4_0-00002-of-00002.gguf"/);
    refused(["a-Q4_0-00001-of-99999.gguf"], {}, /lacks its shard/);
    refused(["config.json", "model.safetensors"], { quantization: "Q4_0" }, /GGUF file of Q4_0.*safetensors only/);
    refused(["README.md"], {}, /it has README.md/);
    refused([], {}, /it has no files/);
  });
});
