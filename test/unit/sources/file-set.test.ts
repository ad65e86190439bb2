/** What a caller may point at, and which files are found there. */
import { afterEach, describe, expect, test } from "vitest";
import { SourceError, UsageError } from "../../../src/errors.ts";
import { isSafeFileName } from "../../../src/sources/file-name.ts";
import { openFileSet } from "../../../src/sources/file-set.ts";
import { serveFiles, type TestServer } from "../../fixtures/http-server.ts";

const bytes = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(new TextEncoder().encode(text));
const memory = (name: string): { name: string; bytes: Uint8Array<ArrayBuffer> } => ({ name, bytes: bytes(name) });
const servers: TestServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

async function serve(names: readonly string[]): Promise<TestServer> {
  const server = await serveFiles(Object.fromEntries(names.map((name) => [name, bytes(name)])));
  servers.push(server);
  return server;
}

async function textOf(files: ReturnType<typeof openFileSet>, name: string): Promise<string | undefined> {
  const source = await files.open(name);
  return source && new TextDecoder().decode(await source.read(0, await source.size()));
}

describe("addresses", () => {
  test("a .gguf is the entry, its folder holds the siblings, the query goes along", async () => {
    const server = await serve(["m/a model.gguf", "m/tokenizer.json"]);
    for (const address of [`${server.url}m/a%20model.gguf?token=1`, new URL(`${server.url}m/a model.gguf?token=1#x`)]) {
      const files = openFileSet(address);
      expect(files.entry).toBe("a model.gguf");
      expect(files.label).toBe(`${server.url}m/a%20model.gguf`);
      expect(await textOf(files, "a model.gguf")).toBe("m/a model.gguf");
      expect(await textOf(files, "tokenizer.json")).toBe("m/tokenizer.json");
      expect(await files.open("config.json")).toBeUndefined();
    }
    expect(server.requests.every(({ path }) => path.endsWith("?token=1"))).toBe(true);
  });

  test("anything else is a folder, with or without a slash", async () => {
    const server = await serve(["m/config.json"]);
    for (const address of [`${server.url}m`, `${server.url}m/`]) {
      const files = openFileSet(address);
      expect(files.entry).toBeUndefined();
      expect(await textOf(files, "config.json")).toBe("m/config.json");
      expect(await files.open("tokenizer.json")).toBeUndefined();
    }
  });

  test("the file that was pointed at must be there", async () => {
    const server = await serve([]);
    const opening = openFileSet(`${server.url}m.gguf`).open("m.gguf");
    await expect(opening).rejects.toThrow(`${server.url}m.gguf: no such file on the server (status 404)`);
    await expect(opening).rejects.toBeInstanceOf(SourceError);
  });

  test.each(["model.gguf", "", "//", "ftp://host/m.gguf", "file:///m.gguf", "data:,x"])("%j is refused", (address) => {
    expect(() => openFileSet(address)).toThrow(UsageError);
  });
});

describe("picked files and memory", () => {
  test("files are found by name, slices are read, bytes are counted", async () => {
    let counted = 0;
    const hooks = {
      onBytes: (origin: string, count: number): void => {
        expect(origin).toBe("file");
        counted += count;
      },
    };
    const files = openFileSet([new File(["abcdef"], "config.json"), new File(["xyz"], "model.safetensors")], hooks);
    expect(files.entry).toBeUndefined();
    const source = await files.open("config.json");
    expect(new TextDecoder().decode(await source?.read(2, 3))).toBe("cde");
    await expect(source?.read(4, 3)).rejects.toThrow(SourceError);
    expect(await source?.read(6, 0)).toEqual(new Uint8Array(0));
    expect(counted).toBe(3);
    expect(await files.open("tokenizer.json")).toBeUndefined();
  });

  test("a single GGUF, one among others, and the first shard of a split are the entry", () => {
    expect(openFileSet(new File([], "m.GGUF")).entry).toBe("m.GGUF");
    expect(openFileSet(memory("m.gguf")).entry).toBe("m.gguf");
    expect(openFileSet([memory("tokenizer.json"), memory("m.gguf")]).entry).toBe("m.gguf");
    const shards = [memory("m-00002-of-00002.gguf"), memory("m-00001-of-00002.gguf")];
    expect(openFileSet(shards).entry).toBe("m-00001-of-00002.gguf");
  });

  test("no file, and two models, are refused", () => {
    expect(() => openFileSet([])).toThrow(UsageError);
    expect(() => openFileSet([memory("a.gguf"), memory("b.gguf")])).toThrow(/one GGUF model, got 2: a.gguf, b.gguf/);
  });

  test("of equal names in a picked folder the one nearest to the top counts", async () => {
    const withPath = (path: string): File => {
      const file = new File([path], path.slice(path.lastIndexOf("/") + 1));
      return Object.defineProperty(file, "webkitRelativePath", { value: path });
    };
    const files = openFileSet([withPath("model/onnx/config.json"), withPath("model/config.json")]);
    expect(await textOf(files, "config.json")).toBe("model/config.json");
  });

  test("memory stays the caller's", async () => {
    const own = memory("config.json");
    const source = await openFileSet(own).open("config.json");
    (await source?.read(0, 4))?.fill(0);
    expect(new TextDecoder().decode(own.bytes)).toBe("config.json");
    expect(await (await openFileSet({ name: "a", bytes: own.bytes.buffer }).open("a"))?.size()).toBe(11);
  });

  test("an aborted signal ends reads", async () => {
    for (const file of [memory("a"), new File(["a"], "a")]) {
      const source = await openFileSet(file).open("a");
      await expect(source?.read(0, 1, AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError" });
    }
  });
});

test("names that leave the folder are refused", async () => {
  const bad = ["", "../a", "a/../b", "/a", "a//b", ".", "http://x/a", "a\\b", "a\0", "a/"];
  for (const name of bad) {
    expect(isSafeFileName(name), name).toBe(false);
    await expect(openFileSet("http://127.0.0.1/m/").open(name)).rejects.toBeInstanceOf(UsageError);
  }
  for (const name of ["a.json", "sub/a.safetensors", "..a", "a b#?.json"])
    expect(isSafeFileName(name), name).toBe(true);
});
