// A page in a Chromium of its own, driven over a pipe by the few commands that measuring needs. Playwright's connection also
// watches the network of the page and its workers, for which Chromium keeps the bodies of the last answers in the renderer,
// some 200 MB of them when gigabytes pass: memory that no user's tab takes.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CHROMIUM_ARGS, ensureChromium } from "./chromium.mjs";

/** As playwright starts it: without a display, and with a page that nobody looks at running at full speed. */
const ARGS = [
  "--headless",
  "--remote-debugging-pipe",
  "--disable-dev-shm-usage",
  "--disable-background-timer-throttling",
  "--disable-backgrounding-occluded-windows",
  "--disable-renderer-backgrounding",
];
/** Of what Chromium said last, so much is told when it ends. */
const LAST_WORDS = 2000;

/**
 * @typedef {Record<string, any>} Fields
 * @typedef {{ method: string, params: Fields, sessionId?: string }} DevtoolsEvent
 */

/**
 * Commands and answers over the browser's two pipes, each a line of JSON that ends in a zero.
 * @param {import("node:child_process").ChildProcess} browser
 * @param {(event: DevtoolsEvent) => void} onEvent
 */
function connect(browser, onEvent) {
  const [, , said, commands, answers] = browser.stdio;
  /** @type {Map<number, { sessionId?: string, resolve: (result: Fields) => void, reject: (error: Error) => void }>} */
  const waiting = new Map();
  let nextId = 1;
  let rest = "";
  let lastWords = "";
  /** @type {Error | undefined} */
  let ended;
  const take = (/** @type {string} */ message) => {
    const { id, error, result, ...event } = JSON.parse(message);
    if (id === undefined) return onEvent(event);
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error) asked?.reject(new Error(error.message));
    else asked?.resolve(result);
  };
  const end = (/** @type {string} */ why) => {
    ended ??= new Error(`${why}. Its last words:\n${lastWords}`);
    for (const { reject } of waiting.values()) reject(ended);
  };
  said?.on("data", (text) => {
    lastWords = (lastWords + text).slice(-LAST_WORDS);
  });
  /** @type {import("node:stream").Readable} */ (answers).setEncoding("utf8").on("data", (text) => {
    const messages = (rest + text).split("\0");
    rest = messages.pop() ?? "";
    for (const message of messages) take(message);
  });
  browser.on("error", ({ message }) => end(`Chromium did not start: ${message}`));
  browser.on("exit", (code, signal) => end(`Chromium ended (${signal ?? code})`));
  /** @type {import("node:stream").Writable} */ (commands).on("error", () => {}); // `exit` tells
  /**
   * @param {string} method @param {Fields} [params] @param {string} [sessionId]
   * @returns {Promise<Fields>}
   */
  const send = (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      if (ended) return reject(ended);
      const id = nextId++;
      waiting.set(id, { ...(sessionId ? { sessionId } : {}), resolve, reject });
      /** @type {import("node:stream").Writable} */ (commands).write(
        `${JSON.stringify({ id, method, params, sessionId })}\0`,
      );
    });
  /** What was asked of a session that has gone is never answered. */
  const gone = (/** @type {string} */ sessionId) => {
    for (const [id, asked] of waiting) {
      if (asked.sessionId !== sessionId) continue;
      waiting.delete(id);
      asked.reject(new Error("the worker has ended"));
    }
  };
  return { send, gone };
}

/**
 * Opens `url` and resolves when its scripts have run. What page and workers write to the console goes to this one's.
 * @param {string} url
 * @param {readonly string[]} [args] further flags of Chromium
 */
export async function openBarePage(url, args = []) {
  const profile = mkdtempSync(join(tmpdir(), "octavo-chromium-"));
  const flags = [...CHROMIUM_ARGS, ...ARGS, ...args, `--user-data-dir=${profile}`, "about:blank"];
  const browser = spawn(ensureChromium(), flags, { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] });
  /** Sessions of the workers that live, each with that of whoever started it. @type {Map<string, string>} */
  const workers = new Map();
  /** A worker's own workers end with it, and nobody tells. */
  const removeWorker = (/** @type {string} */ removed) => {
    workers.delete(removed);
    gone(removed);
    for (const [worker, parent] of workers) if (parent === removed) removeWorker(worker);
  };
  /** @type {(() => void) | undefined} */
  let onLoad;
  const { send, gone } = connect(browser, ({ method, params, sessionId = "" }) => {
    if (method === "Page.loadEventFired") onLoad?.();
    if (method === "Target.attachedToTarget" && params.targetInfo.type === "worker") {
      void addWorker(params.sessionId, sessionId);
    }
    if (method === "Target.detachedFromTarget") removeWorker(params.sessionId);
    if (method === "Runtime.consoleAPICalled") {
      console.error(...params.args.map((/** @type {Fields} */ arg) => arg.value ?? arg.description));
    }
  });
  const watch = (/** @type {string} */ sessionId) =>
    Promise.all([
      send("Runtime.enable", {}, sessionId),
      send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: true }, sessionId),
    ]);
  const addWorker = async (/** @type {string} */ worker, /** @type {string} */ parent) => {
    workers.set(worker, parent);
    await watch(worker).catch(() => removeWorker(worker)); // it has ended meanwhile
  };
  const close = async () => {
    const ended = new Promise((resolve) => browser.once("exit", resolve));
    await send("Browser.close").catch(() => browser.kill());
    if (browser.exitCode === null && browser.signalCode === null) await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const { targetId } = await send("Target.createTarget", { url: "about:blank" });
    const { sessionId: page } = await send("Target.attachToTarget", { targetId, flatten: true });
    await Promise.all([send("Page.enable", {}, page), watch(page)]);
    const goto = async (/** @type {string} */ address) => {
      const loaded = new Promise((resolve) => {
        onLoad = () => resolve(undefined);
      });
      const { errorText } = await send("Page.navigate", { url: address }, page);
      if (errorText) throw new Error(`${address}: ${errorText}`);
      await loaded;
    };
    await goto(url);
    return {
      /** Of the browser. */
      pid: browser.pid ?? 0,
      /** Its folder, which goes with it. */
      profile,
      goto,
      /** @param {string} expression @returns {Promise<any>} its value, or what its promise resolves to */
      evaluate: async (expression) => {
        const asked = { expression, awaitPromise: true, returnByValue: true };
        const { result, exceptionDetails } = await send("Runtime.evaluate", asked, page);
        if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        return result.value;
      },
      version: async () => String((await send("Browser.getVersion")).product).replace(/^.*\//, ""),
      send,
      sessions: () => ({ page, workers: [...workers.keys()] }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** @typedef {Awaited<ReturnType<typeof openBarePage>>} BarePage */
