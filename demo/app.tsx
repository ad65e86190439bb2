/** The page: masthead, notices, and the four views, of which one is shown. */
import type { ComponentChildren } from "preact";
import type { AppState, TabName } from "./app-state.ts";
import { BenchTab } from "./bench/bench-tab.tsx";
import type { ChatState } from "./chat/chat-state.ts";
import { ChatTab } from "./chat/chat-tab.tsx";
import { LoadBar } from "./models/load-bar.tsx";
import { ModelsTab } from "./models/models-tab.tsx";
import { SettingsTab } from "./settings/settings-tab.tsx";
import { Masthead } from "./shell/masthead.tsx";
import { NoticesView } from "./shell/notices-view.tsx";
import { useStore } from "./use-store.ts";

export function App({ app, chat }: { app: AppState; chat: ChatState }) {
  return (
    <>
      <Masthead app={app} />
      <NoticesView app={app} />
      <LoadBar app={app} />
      <Status app={app} />
      <main id="main">
        <View app={app} name="chat">
          <ChatTab app={app} chat={chat} />
        </View>
        <View app={app} name="models">
          <ModelsTab app={app} />
        </View>
        <View app={app} name="bench">
          <BenchTab app={app} />
        </View>
        <View app={app} name="settings">
          <SettingsTab app={app} />
        </View>
      </main>
      <Colophon />
    </>
  );
}

/** A view that is not shown stays as it is: an answer goes on, a field keeps its text. */
function View({ app, name, children }: { app: AppState; name: TabName; children: ComponentChildren }) {
  const selected = useStore(app.tab);
  return (
    <div id={`view-${name}`} class="view" role="tabpanel" aria-labelledby={`tab-${name}`} hidden={name !== selected}>
      {children}
    </div>
  );
}

function Status({ app }: { app: AppState }) {
  return (
    <p id="status" class="visually-hidden" role="status" aria-live="polite">
      {useStore(app.status)}
    </p>
  );
}

export function Colophon() {
  return (
    <footer class="colophon">
      Everything runs on this device: the text you type is not sent anywhere. Octavo Tales knows children’s books in the
      public domain, and nothing reliable.
    </footer>
  );
}
