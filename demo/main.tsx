/** The page starts here: it checks for WebGPU, and then opens the model that its address asks for. */
import { render } from "preact";
import { inspectModel, loadModel } from "../src/index.ts";
import { App, Colophon } from "./app.tsx";
import { AppState } from "./app-state.ts";
import { ChatState } from "./chat/chat-state.ts";
import { type History, memoryHistory, openHistory } from "./chat/history.ts";
import { browserTabs, loneTab, type Tabs } from "./chat/tabs.ts";
import { byId } from "./dom.ts";
import { firstChoice } from "./models/choice.ts";
import { Masthead } from "./shell/masthead.tsx";
import { NoWebgpu } from "./shell/no-webgpu.tsx";
import { findObstacle } from "./shell/obstacle.ts";
import { allowOwnScriptsOnly } from "./trusted-scripts.ts";

/** What every tab of the page shares; where the browser lets it store nothing, this tab is alone. */
async function storage(): Promise<[History, Tabs]> {
  try {
    return [await openHistory(), browserTabs()];
  } catch {
    return [memoryHistory(), loneTab()];
  }
}

allowOwnScriptsOnly();
if (import.meta.env.PROD) void navigator.serviceWorker?.register("./service-worker.js").catch(() => {}); // a comfort, not a need
const root = byId("page", HTMLElement);
const obstacle = await findObstacle();
if (obstacle) {
  render(
    <>
      <Masthead app={null} />
      <NoWebgpu obstacle={obstacle} />
      <Colophon />
    </>,
    root,
  );
} else {
  const app = new AppState({ loadModel, inspectModel });
  const chat = new ChatState(app, ...(await storage()));
  document.addEventListener("visibilitychange", () => void chat.flush());
  addEventListener("pagehide", () => void chat.flush());
  await chat.restore();
  render(<App app={app} chat={chat} />, root);
  await app.open(firstChoice(location.search));
}
