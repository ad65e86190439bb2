/** The built grammar worker by itself, under a policy that allows WebAssembly and no other evaluation. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { launchPage, ROOT, servePath } from "./harness.ts";

test("runs with 'wasm-unsafe-eval' alone, and not without it", async () => {
  const server = await servePath({ "/dist/": join(ROOT, "dist") });
  const { page, close } = await launchPage({ expectedErrors: [/Content Security Policy|WebAssembly/] });
  await page.route("**/empty", (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html>" }));
  await page.goto(`${server.url}empty`);
  let policy = "";
  await page.route("**/grammar.worker.js*", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, headers: { ...response.headers(), "content-security-policy": policy } });
  });
  const allowed = async (scripts: string): Promise<string> => {
    policy = `default-src 'none'; script-src 'self' ${scripts}`;
    return page.evaluate(async () => {
      const worker = new Worker("/dist/grammar.worker.js", { type: "module" });
      // Comlink's messages, by hand.
      const call = (name: string, ...values: unknown[]): Promise<{ value?: unknown; type: string }> => {
        const id = crypto.randomUUID();
        const argumentList = values.map((value) => ({ type: "RAW", value }));
        worker.postMessage({ id, type: "APPLY", path: [name], argumentList });
        return new Promise((resolve) => {
          worker.addEventListener("message", ({ data }) => data.id === id && resolve(data));
        });
      };
      const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
      const opened = await call("open", { bytes, ends: Uint32Array.from(bytes, (byte) => byte + 1) });
      if (opened.type !== "RAW") return "refused";
      const held = await call("hold", { type: "json_schema", schema: { type: "boolean" } });
      const { mask } = (await call("next", held.value)).value as { mask: Int32Array };
      worker.terminate();
      return String.fromCharCode(...bytes.filter((byte) => (((mask[byte >>> 5] ?? 0) >>> (byte & 31)) & 1) === 1));
    });
  };
  expect(await allowed("'wasm-unsafe-eval'")).toBe("ft");
  expect(await allowed("")).toBe("refused");
  await close();
  await server.close();
});
