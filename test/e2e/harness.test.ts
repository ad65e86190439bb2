import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchPage, type StaticServer, servePath } from "./harness.ts";

const folder = mkdtempSync(join(tmpdir(), "octavo-e2e-"));
let server: StaticServer;

beforeAll(async () => {
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>frame</title><link rel=icon href=data:,>");
  writeFileSync(
    join(folder, "ten.bin"),
    Uint8Array.from({ length: 10 }, (_, i) => i),
  );
  server = await servePath({ "/some/path/": folder });
});

afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

describe("the static server", () => {
  const get = (range?: string) => fetch(`${server.url}some/path/ten.bin`, range ? { headers: { Range: range } } : {});

  test.each([
    ["bytes=2-4", "bytes 2-4/10", [2, 3, 4]],
    ["bytes=8-", "bytes 8-9/10", [8, 9]],
    ["bytes=-1", "bytes 9-9/10", [9]],
    ["bytes=9-99", "bytes 9-9/10", [9]],
  ])("answers %s", async (range, contentRange, bytes) => {
    const response = await get(range);
    expect(response.status).toBe(206);
    expect(response.headers.get("Content-Range")).toBe(contentRange);
    expect([...new Uint8Array(await response.arrayBuffer())]).toEqual(bytes);
  });

  test("sends whole files, refuses ranges outside them and paths outside its folders", async () => {
    expect((await (await get()).arrayBuffer()).byteLength).toBe(10);
    expect((await get("bytes=10-")).status).toBe(416);
    expect((await fetch(`${server.url}elsewhere`)).status).toBe(404);
    expect((await fetch(`${server.url}some/path/..%2f..%2fetc/passwd`)).status).toBe(404);
  });

  test("remembers what was asked", async () => {
    await get("bytes=2-4");
    expect(server.requests.at(-1)).toEqual({ path: "/some/path/ten.bin", range: "bytes=2-4", status: 206, bytes: 3 });
  });
});

describe("the page", () => {
  test("has a WebGPU adapter", async () => {
    const { page, close } = await launchPage();
    await page.goto(`${server.url}some/path/`);
    expect(await page.evaluate(async () => (await navigator.gpu.requestAdapter()) !== null)).toBe(true);
    await close();
  });

  test("fails on an error that nobody expected, and only then", async () => {
    const provoke = async (expectedErrors: RegExp[]) => {
      const { page, close } = await launchPage({ expectedErrors });
      await page.goto(`${server.url}some/path/`);
      await page.evaluate(() => console.error("ink spilled"));
      await close();
    };
    await expect(provoke([])).rejects.toThrow("ink spilled");
    await expect(provoke([/ink spilled/])).resolves.toBeUndefined();
  });
});
