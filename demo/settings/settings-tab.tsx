/** What the reader can set: for every answer, for every chat, and for how a model is loaded. Kept on this device. */
import type { ComponentChildren } from "preact";
import type { AppState } from "../app-state.ts";
import { BudgetSlider } from "../instruments/budget-slider.tsx";
import { useStore } from "../use-store.ts";
import { CHAT, FIELDS, LOADING, SAMPLING, type SettingName } from "./fields.ts";
import { SettingField } from "./setting-field.tsx";
import { waitingFor } from "./settings.ts";

export function SettingsTab({ app }: { app: AppState }) {
  return (
    <div class="settings">
      <Group app={app} id="sampling" title="Sampling" hint="The next answer is drawn with these." names={SAMPLING} />
      <Group
        app={app}
        id="chat-settings"
        title="Chat"
        hint="The next answer begins with these; a story has none."
        names={CHAT}
      />
      <Group app={app} id="loading" title="Paging" hint="They hold from the next load on." names={LOADING}>
        <BudgetSlider app={app} id="settings-budget" />
        <Reload app={app} />
      </Group>
    </div>
  );
}

interface GroupProps {
  readonly app: AppState;
  readonly id: string;
  readonly title: string;
  readonly hint: string;
  readonly names: readonly SettingName[];
  readonly children?: ComponentChildren;
}

function Group({ app, id, title, hint, names, children }: GroupProps) {
  const text = names.filter((name) => FIELDS[name].kind === "text");
  const others = names.filter((name) => FIELDS[name].kind !== "text");
  return (
    <section id={id} class="drawer" aria-labelledby={`${id}-title`}>
      <div class="strip-head">
        <h2 id={`${id}-title`}>{title}</h2>
        <button
          id={`${id}-reset`}
          type="button"
          class="quiet small"
          aria-label={`Put ${title} back to its defaults`}
          onClick={() => app.settings.reset(names)}
        >
          Defaults
        </button>
      </div>
      <p class="hint">{hint}</p>
      <form onSubmit={(event) => event.preventDefault()}>
        {text.map((name) => (
          <div class="stack" key={name}>
            <SettingField app={app} name={name} />
          </div>
        ))}
        <div class="fields">
          {others.map((name) => (
            <SettingField key={name} app={app} name={name} />
          ))}
        </div>
      </form>
      {children}
    </section>
  );
}

/** Says which changes wait for the model to be loaded again, and offers it. */
function Reload({ app }: { app: AppState }) {
  const settings = useStore(app.settings);
  const loaded = useStore(app.loadedWith);
  const waiting = loaded ? waitingFor(loaded, settings) : [];
  if (waiting.length === 0) return null;
  const labels = waiting.map((name) => FIELDS[name].label).join(", ");
  return (
    <div id="reload-note" class="notice" role="status">
      <p>The open model was loaded without: {labels}.</p>
      <button id="settings-reload" type="button" onClick={() => void app.open(app.choice.value)}>
        Load it again with these
      </button>
    </div>
  );
}
