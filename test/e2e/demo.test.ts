/** The built demo in a real Chromium, with the real model: what a reader does with the page, and what can go wrong. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { titleOf } from "../../demo/chat/conversation.ts";
import { violations } from "./axe.ts";
import {
  answer,
  ending,
  GOLDEN,
  longerThan,
  overflow,
  press,
  ready,
  residents,
  SLOW,
  sample,
  showTab,
  slots,
  text,
  write,
} from "./demo-page.ts";
import { type LaunchedPage, launchPage, ROOT, type StaticServer, screenshot, servePath } from "./harness.ts";

const HOME = "hosted/here/";

let server: StaticServer;

beforeAll(async () => {
  // Under a path, because a demo is rarely hosted at the root.
  server = await servePath({ [`/${HOME}`]: join(ROOT, "dist-demo") });
});

afterAll(() => server.close());

describe("a visit", () => {
  let visit: LaunchedPage;
  let own: StaticServer;

  beforeAll(async () => {
    own = await servePath({ [`/${HOME}`]: join(ROOT, "dist-demo") });
    const expectedErrors = [/404/, /requires 'TrustedHTML'/, /ERR_CONNECTION_REFUSED|ERR_INTERNET_DISCONNECTED/];
    const launched = await launchPage({ viewport: { width: 1280, height: 800 }, expectedErrors });
    await launched.page.addInitScript(watchTexts);
    await launched.page.goto(`${own.url}${HOME}`);
    await ready(launched.page);
    visit = launched;
  });

  afterAll(() => visit.close());

  test("tells the golden story at a quarter of the experts, token by token, and says what it took", async () => {
    const { page } = visit;
    const loads = await page.evaluate(() => window.seenTexts["load-bytes"] ?? []);
    expect(loads.some((shown) => /of \d.* MB$/.test(shown))).toBe(true);
    expect(await page.locator("#budget-range").inputValue()).toBe("25");
    expect(await slots(page)).toBe(16);
    await sample(page, { temperature: "0", "max-tokens": String(GOLDEN.greedy_32.length) });
    await write(page, GOLDEN.prompt);
    expect(await ending(page)).toMatch(
      /^Paused after 32 tokens · [\d.]+ tok\/s · first token [\d.]+ m?s · prompt 10 tokens$/,
    );
    expect(await answer(page)).toBe(GOLDEN.greedy_text);
    expect(await text(page, ".user .text")).toBe(GOLDEN.prompt);
    expect(await text(page, "#status")).toBe("Paused after 32 tokens");
    const spoken = await page.evaluate(() => window.seenTexts.status ?? []);
    expect(spoken.filter((said) => said !== "").length).toBeLessThan(6); // states, not tokens
    const lengths = await page.evaluate(() => (window.seenTexts.answer ?? []).map((shown) => shown.length));
    expect(new Set(lengths).size).toBeGreaterThan(5);
    expect(Number(await text(page, "#stat-speed"))).toBeGreaterThan(0);
    expect(await text(page, "#stat-hits")).toMatch(/^\d+ %$/);
    expect(await text(page, "#stat-fetched")).toMatch(/[kM]B$/);
    expect(Math.max(...(await residents(page)))).toBeLessThanOrEqual(16);
    expect(Math.min(...(await residents(page)))).toBeGreaterThan(0);
    await screenshot(page, "demo-desktop");
  });

  test("continues, stops within a step, and continues from where it stopped", async () => {
    const { page } = visit;
    await sample(page, { "max-tokens": "400" });
    await press(page, "Continue");
    await longerThan(page, GOLDEN.greedy_text.length + 10);
    await page.locator("#stop").click();
    expect(await ending(page)).toMatch(/^Stopped after \d+ tokens/);
    const stopped = await answer(page);
    expect(stopped.startsWith(GOLDEN.greedy_text)).toBe(true);
    await press(page, "Continue");
    expect((await longerThan(page, stopped.length)).startsWith(stopped)).toBe(true);
    await page.locator("#draft").press("Escape");
    expect(await ending(page)).toMatch(/^Stopped after/);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("draft");
  });

  test("branches at an edit and at a retry, and turns back to what was there", async () => {
    const { page } = visit;
    const first = await answer(page);
    await sample(page, { "max-tokens": "3" });
    await page.locator(".user").getByRole("button", { name: "Edit" }).click();
    await page.locator(".editor textarea").fill("The king said");
    await page.locator(".editor textarea").press("Enter");
    await ending(page);
    expect(await text(page, ".user .text")).toBe("The king said");
    expect(await text(page, ".user .branches .figures")).toBe("2/2");
    await sample(page, { temperature: "1.5", seed: "4" });
    await press(page, "Retry");
    expect(await ending(page)).toMatch(/^Paused after 3 tokens .* seed 4$/);
    expect(await text(page, ".answer .branches .figures")).toBe("2/2");
    await page.locator(".user").getByRole("button", { name: "Previous branch" }).click();
    expect(await answer(page)).toBe(first);
    await sample(page, { temperature: "0", seed: "" });
  });

  test("keeps conversations: a new one, a new name, a deletion, and what was said", async () => {
    const { page } = visit;
    const first = await answer(page);
    await page.locator("#new-conversation").click();
    expect(await page.locator(".message").count()).toBe(0);
    await page.locator(".chip").last().click();
    expect(await page.locator("#draft").inputValue()).toContain("said the fox");
    await page.locator("#draft").press("Enter");
    await ending(page);
    await page.getByRole("button", { name: /^Rename .*fox/ }).click();
    await page.getByLabel("Title").fill("A fox's tale");
    await page.getByLabel("Title").press("Enter");
    expect(await text(page, "#running-head")).toBe("A fox's tale");
    await page.locator(".talk .title", { hasText: titleOf(GOLDEN.prompt) }).click();
    expect(await answer(page)).toBe(first);
    await page.getByRole("button", { name: "Delete A fox's tale" }).click();
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    expect(await page.locator(".talk .title").allTextContents()).toEqual([titleOf(GOLDEN.prompt)]);
  });

  test("takes a new budget while it writes, and keeps it and the half answer over a reload", async () => {
    const { page } = visit;
    await sample(page, { "max-tokens": "400" });
    const range = page.locator("#budget-range");
    await range.fill("100");
    await expect.poll(() => slots(page), SLOW).toBe(64);
    await page.locator("#new-conversation").click();
    await write(page, GOLDEN.prompt);
    await longerThan(page, 20);
    await range.fill((await range.getAttribute("min")) ?? "");
    await expect.poll(() => slots(page), SLOW).toBeLessThan(16);
    const room = await slots(page);
    await expect.poll(async () => Math.max(...(await residents(page))), SLOW).toBeLessThanOrEqual(room);
    const half = await longerThan(page, (await answer(page)).length + 10);
    await page.waitForTimeout(600); // what is older than this is stored
    await page.reload();
    await ready(page);
    expect((await answer(page)).startsWith(half)).toBe(true);
    expect(await text(page, ".answer .trouble")).toContain("closed");
    expect(await range.inputValue()).toBe(await range.getAttribute("min"));
    await sample(page, { "max-tokens": "2" });
    await press(page, "Continue");
    expect(await ending(page)).toMatch(/^Paused/);
    await range.fill("25");
  });

  test("names the error of a bad address, and keeps the model that is open", async () => {
    const { page } = visit;
    await showTab(page, "models");
    await page.locator("#url").fill("models/nowhere.gguf");
    await page.locator("#url").press("Enter");
    await page.locator(".notice").waitFor();
    expect(await text(page, ".notice strong")).toBe("SourceError");
    expect(await text(page, ".notice p")).toContain("404");
    expect(await page.locator("#card").count()).toBe(0);
    await page.locator(".notice").getByRole("button", { name: "Dismiss" }).click();
    await showTab(page, "chat");
    await press(page, "Continue");
    expect(await ending(page)).toMatch(/^Paused/);
  });

  test("lets a hostile conversation run nothing and ask for nothing", async () => {
    const { page } = visit;
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.locator(".history input[type=file]").setInputFiles(hostileFile());
    await page.locator(".talk .title", { hasText: "<img" }).click();
    await page.locator(".thought summary").click();
    await page.locator(".markdown .code").waitFor();
    await page.waitForTimeout(500);
    expect(await page.evaluate(() => window.hacked ?? "nothing")).toBe("nothing");
    expect(asked).toEqual([]);
    const leaf = page.locator("#leaf");
    expect(
      await leaf.locator("img, svg, script, iframe, style, object, form[action], [onclick], [onerror]").count(),
    ).toBe(0);
    expect(await leaf.locator("[style], [id]:not(#leaf), a[href^='javascript'], a[href^='data']").count()).toBe(0);
    const links = leaf.locator("a[href]");
    expect(await links.evaluateAll((all) => all.map((a) => a.getAttribute("href")))).toEqual(["https://example.com/"]);
    expect(await links.first().getAttribute("rel")).toContain("noopener");
    expect(await links.first().getAttribute("target")).toBe("_blank");
    expect(await leaf.textContent()).toContain("<script>window.hacked");
    expect(await text(page, ".code pre")).toBe("const x = '<b>';\n");
    expect(await text(page, ".call")).toBe('<b>f</b>({"a":"<img src=x>"})');
    // What the sanitiser would let through, the policy stops.
    const stopped = await page.evaluate(() => {
      try {
        document.createElement("div").innerHTML = "<b>";
        return "taken";
      } catch (error) {
        return error instanceof TypeError ? "refused" : "?";
      }
    });
    expect(stopped).toBe("refused");
    await page.getByRole("button", { name: /^Delete <img/ }).click();
    await page.getByRole("button", { name: "Delete", exact: true }).click();
  });

  test("has no fault that the accessibility checker knows, in every view, light and dark, wide and narrow", async () => {
    const { page } = visit;
    await page.locator(".talk .title").first().click();
    const found: string[] = [];
    const contrast = ["color-contrast"];
    // What depends on the colours is asked in both schemes, what depends on the layout at both widths.
    for (const [width, colorScheme, rules] of [
      [1280, "light", undefined],
      [1280, "dark", contrast],
      [390, "dark", undefined],
    ] as const) {
      await page.setViewportSize({ width, height: width === 390 ? 844 : 800 });
      await page.emulateMedia({ colorScheme });
      for (const name of ["models", "bench", "settings", "chat"] as const) {
        await showTab(page, name);
        const where = `${name}, ${width} px, ${colorScheme}`;
        found.push(...(await violations(page, rules)).map((line) => `${where}: ${line}`));
        if ((await overflow(page)) > 0) found.push(`${where}: wider than the window`);
      }
    }
    await screenshot(page, "demo-phone");
    await page.locator("#show-conversations").click();
    found.push(...(await violations(page)).map((line) => `conversations: ${line}`));
    await page.locator(".talk .title").first().click();
    expect(found).toEqual([]);
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ colorScheme: "light" });
  });

  test("can be used by keyboard alone", async () => {
    const { page } = visit;
    await page.locator("#tab-chat").focus();
    await page.keyboard.press("ArrowRight");
    expect(await page.locator("#view-models").isVisible()).toBe(true);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("tab-models");
    await page.keyboard.press("End");
    expect(await page.locator("#view-settings").isVisible()).toBe(true);
    await page.keyboard.press("Home");
    await page.locator("#new-conversation").focus();
    const visited: string[] = [];
    for (let i = 0; i < 24 && !visited.includes("budget-range"); i++) {
      await page.keyboard.press("Tab");
      visited.push(await page.evaluate(() => document.activeElement?.id || (document.activeElement?.className ?? "")));
    }
    expect(visited).toEqual(expect.arrayContaining(["title", "leaf", "draft", "budget-range"]));
    expect(visited.indexOf("title")).toBeLessThan(visited.indexOf("draft"));
    expect(visited.indexOf("draft")).toBeLessThan(visited.indexOf("budget-range"));
  });

  test("starts offline after a visit, and tells the same story", async () => {
    const { page } = visit;
    await sample(page, { "max-tokens": "6" });
    await page.locator("#new-conversation").click();
    await write(page, GOLDEN.prompt);
    await ending(page);
    const told = await answer(page);
    await showTab(page, "models");
    await expect.poll(() => text(page, "#fill-state"), SLOW).toContain("all there"); // experts that no text asked for yet
    await showTab(page, "chat");
    await page.evaluate(async () => void (await navigator.serviceWorker.ready));
    await page.context().setOffline(true);
    await own.close();
    await page.reload();
    await ready(page);
    await press(page, "Retry");
    expect(await ending(page)).toMatch(/^Paused after 6 tokens/);
    expect(await answer(page)).toBe(told);
    expect(await text(page, ".answer .branches .figures")).toBe("2/2");
    await write(page, '"Come with me," said the fox,');
    expect(await ending(page)).toMatch(/^Paused after 6 tokens/);
  });
});

describe("without WebGPU", () => {
  test("says that navigator.gpu is missing, and which browsers have it", async () => {
    const { page, close } = await launchPage();
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { value: undefined }));
    await page.goto(`${server.url}${HOME}`);
    await page.locator("#no-webgpu").waitFor();
    expect(await text(page, "#no-webgpu")).toMatch(/navigator\.gpu is missing[\s\S]*Chrome[\s\S]*Safari/);
    expect(await page.locator("#main").count()).toBe(0);
    expect(await violations(page)).toEqual([]);
    await close();
  });

  test("says that there is no adapter, and what to turn on", async () => {
    const { page, close } = await launchPage();
    await page.addInitScript(() => {
      GPU.prototype.requestAdapter = () => Promise.resolve(null);
    });
    await page.goto(`${server.url}${HOME}`);
    await page.locator("#no-webgpu").waitFor();
    expect(await text(page, "#no-webgpu")).toMatch(/requestAdapter\(\)[\s\S]*hardware/);
    await close();
  });
});

declare global {
  interface Window {
    /** What these elements said, change by change. */
    seenTexts: Record<string, string[]>;
    hacked?: string;
  }
}

/** Runs in the page before its scripts: records what changes in a few places. */
function watchTexts(): void {
  window.seenTexts = {};
  const places = { "load-bytes": "#load-bytes", status: "#status", answer: ".answer .text" };
  const note = () => {
    for (const [name, selector] of Object.entries(places)) {
      const shown = document.querySelector(selector)?.textContent ?? "";
      const seen = window.seenTexts[name] ?? [];
      window.seenTexts[name] = seen;
      if (seen.at(-1) !== shown) seen.push(shown);
    }
  };
  new MutationObserver(note).observe(document, { subtree: true, childList: true, characterData: true });
}

/** A conversation whose every text would like to run something, or to have something fetched. */
function hostileFile() {
  const run = "window.hacked='yes'";
  const content = [
    `<script>${run}</script> <img src=x onerror="${run}"> <svg onload="${run}"></svg>`,
    `<div style="background:url(https://evil.example/a.png)" onclick="${run}" id=leaf>div</div>`,
    `[js](javascript:${run}) [data](data:text/html,<script>${run}</script>) [vb](vbscript:x) [fine](https://example.com/)`,
    "![pixel](https://evil.example/pixel.png) ![](//evil.example/b.png)",
    `<iframe src="https://evil.example/"></iframe><form action="https://evil.example/"><input></form>`,
    `<style>@import "https://evil.example/c.css";</style><link rel=stylesheet href=https://evil.example/d.css>`,
    `<math><mtext><table><mglyph><style><img src=x onerror="${run}"></style></mglyph></table></mtext></math>`,
    "```js\"onmouseover=alert(1)\nconst x = '<b>';\n```",
  ].join("\n\n");
  const bad = `<img src=x onerror=${run}>`;
  const said = { id: "u", parent: null, role: "user", content: bad };
  const answered = {
    ...{ id: "a", parent: "u", role: "assistant", content, state: "stop", model: bad, prose: false },
    ...{ reasoning: bad, thoughtMs: 12_000, calls: [{ name: "<b>f</b>", arguments: '{"a":"<img src=x>"}' }] },
    ...{ figures: null, trouble: bad },
  };
  const conversation = {
    ...{ id: "hostile", title: bad, renamed: true, createdAt: 0, updatedAt: 0 },
    ...{ messages: [said, answered], read: { "": "u", u: "a" } },
  };
  const file = { format: "octavo-conversations", version: 1, conversations: [conversation] };
  return { name: "hostile.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(file)) };
}
