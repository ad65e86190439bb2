/**
 * The page with a model that chats and thinks, picked from this machine: the built-in one under a chat template, in a context
 * of a few turns. It never ends a thought by itself; the thinking budget does.
 */
import { join } from "node:path";
import type { Page } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadTokenizer } from "../../src/node.ts";
import { chatTales } from "../fixtures/chat-tales.ts";
import { violations } from "./axe.ts";
import { ending, overflow, press, ready, SLOW, sample, showTab, text, write } from "./demo-page.ts";
import { type LaunchedPage, launchPage, ROOT, type StaticServer, screenshot, servePath } from "./harness.ts";

const FILE = chatTales();
const SYSTEM = "Tell a story.";
const CONTEXT = 96;
/** Fits the context, but not behind two turns. */
const LONG =
  "Now tell me of the old king and his three sons, of the grey cat that lived at the edge of the forest, and of the little " +
  "girl who went to the well every morning and sat by the fire every evening.";
/** Of the tokens at a time, those of a thought, and of what stands around the marker that ends it. */
const [THOUGHT, AROUND, TOKENS] = [4, 4, 12];

let server: StaticServer;
let visit: LaunchedPage;

beforeAll(async () => {
  server = await servePath({ "/": join(ROOT, "dist-demo") });
  visit = await launchPage({ viewport: { width: 1280, height: 800 }, expectedErrors: [/404/] });
  await visit.page.addInitScript(watchThoughts);
});
afterAll(async () => {
  await visit.close();
  await server.close();
});

/** Text of the last reply, without its thought. */
const reply = async (page: Page) =>
  ((await page.locator(".answer").last().locator(".markdown").textContent({ timeout: 5000 })) ?? "").trim();
/** What the last message says of the tokens that the model was given, and of those that it had already. */
async function prompt(page: Page): Promise<{ tokens: number; kept: number }> {
  const [, tokens, kept] = /prompt (\d+) tokens(?:, (\d+) kept)?/.exec(await ending(page)) ?? [];
  return { tokens: Number(tokens), kept: Number(kept ?? 0) };
}

test("names the error of a bad address in its query, and offers its own model", async () => {
  const { page } = visit;
  await page.goto(`${server.url}?model=models/nowhere.gguf`);
  await page.locator(".notice").waitFor();
  expect(await page.locator("#send").isDisabled()).toBe(true);
  await page.locator(".notice").getByRole("button", { name: "Open Octavo Tales instead" }).click();
  await ready(page);
});

describe("a model of this machine", () => {
  let first = "";

  test("is picked; a file that is none is refused by name, and what was open stays", async () => {
    const { page } = visit;
    await sample(page, { "context-length": String(CONTEXT) });
    await showTab(page, "models");
    await drop(page, "#files", "notes.gguf", "Dear diary, today I read a book.");
    await page.locator(".notices .notice").waitFor();
    expect(await text(page, ".notices .notice strong")).toBe("FormatError");
    expect(await text(page, ".notices .notice p")).toMatch(/notes\.gguf.*GGUF/);
    expect(await text(page, "#model-name")).toBe("Octavo Tales");
    await page.locator(".notices .notice").getByRole("button", { name: "Dismiss" }).click();
    const file = { name: "chat-tales.gguf", mimeType: "application/octet-stream", buffer: FILE };
    await page.locator("#files").setInputFiles(file);
    expect(await text(page, "#card-facts")).toMatch(/17\.2 M.*4\.8 M for each token/);
    await page.locator("#card-load").click();
    await page.locator("#draft[placeholder='Write a message']").waitFor(SLOW);
    await ready(page);
    expect(await text(page, "#model-name")).toBe("chat-tales.gguf");
  });

  test("is asked through its template; its thought is folded away with a timer, and ended by the budget", async () => {
    const { page } = visit;
    await sample(page, {
      ...{ temperature: "0", "max-tokens": String(TOKENS), "thinking-budget": String(THOUGHT) },
      "system-prompt": SYSTEM,
    });
    await write(page, "What did the **fox** say?");
    expect(await ending(page)).toMatch(new RegExp(`^Paused after ${TOKENS} tokens · .* · prompt \\d+ tokens$`));
    const messages = [
      { role: "system", content: SYSTEM },
      { role: "user", content: "What did the **fox** say?" },
    ];
    expect((await prompt(page)).tokens).toBe(await lengthOf(messages));
    expect(await reply(page)).not.toBe("");
    const thoughts = await page.evaluate(() => window.seenThoughts);
    expect(thoughts[0]).toMatch(/^Thinking for \d+ s$/);
    expect(thoughts.at(-1)).toMatch(/^Thought for \d+ s$/);
    expect(await page.locator(".thought .text").isVisible()).toBe(false);
    await page.locator(".thought summary").click();
    expect(await page.locator(".thought .text").isVisible()).toBe(true);
    const thought = (await tokenizer).encode(await text(page, ".thought .text"));
    expect(thought.length).toBeGreaterThan(0);
    expect(thought.length).toBeLessThanOrEqual(THOUGHT);
    await page.locator(".thought summary").click();
  });

  test("goes on with a reply that was cut off, behind its closed thought", async () => {
    const { page } = visit;
    const thought = await text(page, ".thought .text");
    first = await reply(page);
    const { tokens } = await prompt(page);
    await sample(page, { "max-tokens": "6" });
    await press(page, "Continue");
    expect(await ending(page)).toMatch(new RegExp(`^Paused after ${TOKENS + 6} tokens`));
    const both = await reply(page);
    expect(both.length).toBeGreaterThan(first.length);
    expect(both.startsWith(first)).toBe(true);
    expect(await text(page, ".thought .text")).toBe(thought);
    expect((await prompt(page)).tokens).toBeGreaterThan(tokens + AROUND);
    expect((await prompt(page)).kept).toBeGreaterThanOrEqual(tokens);
  });

  test("draws as the settings say", async () => {
    const { page } = visit;
    const again = async (settings: Readonly<Record<string, string>>) => {
      await sample(page, settings);
      await press(page, "Retry");
      await ending(page);
      return reply(page);
    };
    const likeliest = { "max-tokens": String(TOKENS), temperature: "2", "min-p": "1" };
    expect(await again(likeliest)).toBe(first); // which was drawn at temperature 0
    const drawn = await again({ "min-p": "0", seed: "5" });
    expect(drawn).not.toBe(first);
    expect(await again({})).toBe(drawn);
    expect(await again({ temperature: "0", seed: "", "thinking-budget": "0", "max-tokens": "16" })).not.toBe("");
    expect(await page.locator(".answer").last().locator(".thought").count()).toBe(0);
    const plain = await reply(page);
    const penalties = ["frequency-penalty", "presence-penalty", "repetition-penalty"];
    expect(await again(Object.fromEntries(penalties.map((id) => [id, "2"])))).not.toBe(plain);
    await sample(page, {
      "frequency-penalty": "0",
      "presence-penalty": "0",
      "repetition-penalty": "1",
      "max-tokens": "8",
    });
  });

  test("takes over what it has read of a conversation that goes on, or is edited", async () => {
    const { page } = visit;
    const opening = [
      { role: "system", content: SYSTEM },
      { role: "user", content: "What did the **fox** say?" },
    ];
    await write(page, "And then?");
    const before = await prompt(page);
    expect(before.tokens).toBeGreaterThan(before.kept);
    expect(before.kept).toBeGreaterThanOrEqual(await lengthOf(opening, false));
    await page.locator(".user").last().getByRole("button", { name: "Edit" }).click();
    await page.locator(".editor textarea").fill("And the hare?");
    await page.locator(".editor textarea").press("Enter");
    expect((await prompt(page)).kept).toBeGreaterThan(before.kept); // the reply before it, too
    expect(await page.locator(".user .branches .figures").allTextContents()).toEqual(["2/2"]);
  });

  test("is told from where on it sees a conversation that its context cannot hold, when the reader says so", async () => {
    const { page } = visit;
    await expect.poll(() => text(page, "#context-use"), SLOW).toMatch(new RegExp(`^\\d+ of ${CONTEXT} tokens$`));
    await write(page, LONG);
    expect(await ending(page)).toBe("The context is full");
    expect(await text(page, ".answer:last-child .trouble")).toMatch(/takes \d+ tokens, and the context holds 96/);
    expect(await page.locator(".left-out").count()).toBe(0);
    await expect.poll(() => page.locator("#context-use.nearly-full").count(), SLOW).toBe(1);
    await screenshot(page, "chat-full");
    const found = await violations(page);
    await press(page, "Go on without the oldest messages");
    expect(await ending(page)).toMatch(/^Paused after 8 tokens/);
    expect(await page.locator(".left-out").count()).toBe(1);
    expect(await page.locator(".left-out + .user .text").textContent()).toMatch(/^(And the hare|Now tell me)/);
    expect(await page.locator(".message").count()).toBe(6); // all of them are still there
    expect((await prompt(page)).tokens).toBeLessThan(CONTEXT);
    await screenshot(page, "chat-left-out");
    await page.emulateMedia({ colorScheme: "dark" });
    await page.setViewportSize({ width: 390, height: 844 });
    expect([...found, ...(await violations(page))]).toEqual([]);
    expect(await overflow(page)).toBe(0);
    await screenshot(page, "chat-left-out-phone");
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ colorScheme: "light" });
  });

  test("writes into a conversation that two tabs have open, and neither loses anything", async () => {
    const { page } = visit;
    const other = await page.context().newPage();
    await other.goto(`${server.url}?model=models/nowhere.gguf`); // it needs no model to read
    await expect.poll(() => other.locator(".message").count(), SLOW).toBe(6);
    await page.locator(".user").first().getByRole("button", { name: "Edit" }).click();
    await page.locator(".editor textarea").fill("What did the hare say?");
    await other.getByRole("button", { name: /^Rename/ }).click();
    await other.getByLabel("Title").fill("Two tabs");
    await page.locator(".editor textarea").press("Enter");
    await other.getByLabel("Title").press("Enter");
    await ending(page);
    const said = await reply(page);
    await expect.poll(() => text(page, "#running-head"), SLOW).toBe("Two tabs");
    // The reader of the other tab stays where he is, and finds the new branch beside it.
    await expect.poll(() => other.locator(".user .branches").count(), SLOW).toBe(2);
    expect(await other.locator(".message").count()).toBe(6);
    await other.locator(".user").first().getByRole("button", { name: "Next branch" }).click();
    await expect.poll(() => reply(other), SLOW).toBe(said);
    expect(await text(other, "#running-head")).toBe("Two tabs");
    await other.close();
  });
});

const tokenizer = loadTokenizer({ name: "chat-tales.gguf", bytes: FILE });

/** Tokens of a conversation as its template has it, with the beginning of the reply or without. */
async function lengthOf(messages: readonly { role: string; content: string }[], reply = true): Promise<number> {
  return (await (await tokenizer).chatPrompt(messages, { addGenerationPrompt: reply })).ids.length;
}

/** Drops a file with this text on an element. */
async function drop(page: Page, selector: string, name: string, text: string): Promise<void> {
  const dataTransfer = await page.evaluateHandle(
    ([name, text]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([text], name));
      return transfer;
    },
    [name, text] as const,
  );
  await page.locator(selector).dispatchEvent("drop", { dataTransfer });
}

declare global {
  interface Window {
    /** What stood over the last thought, change by change. */
    seenThoughts: string[];
  }
}

/** Runs in the page before its scripts. */
function watchThoughts(): void {
  window.seenThoughts = [];
  const note = () => {
    const shown = [...document.querySelectorAll(".thought summary")].at(-1)?.textContent;
    if (shown && window.seenThoughts.at(-1) !== shown) window.seenThoughts.push(shown);
  };
  new MutationObserver(note).observe(document, { subtree: true, childList: true, characterData: true });
}
