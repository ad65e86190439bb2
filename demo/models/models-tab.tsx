/** Opens another model: by address, by its name on a hub, or from files of this machine. */
import { useState } from "preact/hooks";
import type { Model, ModelInspection } from "../../src/index.ts";
import type { AppState } from "../app-state.ts";
import { useStore } from "../use-store.ts";
import { type Choice, choiceOfUrl, labelOfFiles, OCTAVO_TALES } from "./choice.ts";
import { type LoadWish, ModelCard } from "./model-card.tsx";

interface Looked {
  readonly choice: Choice;
  readonly inspection: ModelInspection;
}

export function ModelsTab({ app }: { app: AppState }) {
  const [looked, show] = useState<Looked | null>(null);
  const look = async (choice: Choice) => {
    show(null);
    const inspection = await app.look(choice);
    if (inspection) show({ choice, inspection });
  };
  const load = async ({ choice, budgetPercent }: LoadWish) => {
    show(null);
    if (budgetPercent !== null) app.settings.change({ budgetPercent });
    if (await app.open(choice)) app.tab.set("chat");
  };
  return (
    <>
      {looked && <ModelCard {...looked} load={(wish) => void load(wish)} close={() => show(null)} />}
      <section id="source" class="drawer" aria-labelledby="source-title">
        <h2 id="source-title">Open another model</h2>
        <OpenModelFacts app={app} />
        <AddressForm look={(choice) => void look(choice)} />
        <FilesField look={(choice) => void look(choice)} />
        <div class="actions">
          <button id="reload" type="button" onClick={() => void app.open(app.choice.value)}>
            Load this model again
          </button>
          <button id="default-model" type="button" onClick={() => void app.open(OCTAVO_TALES)}>
            Octavo Tales
          </button>
        </div>
      </section>
    </>
  );
}

function AddressForm({ look }: { look: (choice: Choice) => void }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const url = String(new FormData(event.currentTarget as HTMLFormElement).get("url")).trim();
    if (url) look(choiceOfUrl(url));
  };
  return (
    <form class="stack" onSubmit={submit}>
      <label for="url">
        Address of a .gguf file or of a folder with config.json; or owner/name of a model on huggingface.co
      </label>
      <div class="joined">
        <input
          id="url"
          name="url"
          type="text"
          inputMode="url"
          autocomplete="off"
          autocapitalize="off"
          spellcheck={false}
          placeholder="https://… or owner/name"
          required
        />
        <button type="submit">Look</button>
      </div>
    </form>
  );
}

function FilesField({ look }: { look: (choice: Choice) => void }) {
  const take = (input: HTMLInputElement) => {
    const files = [...(input.files ?? [])];
    input.value = "";
    if (files.length > 0) look({ label: labelOfFiles(files), source: files });
  };
  return (
    <div class="stack">
      <label for="files">
        Or files from this machine: one GGUF, or config.json with safetensors and tokenizer.json
      </label>
      <input
        id="files"
        type="file"
        multiple
        accept=".gguf,.safetensors,.json"
        onChange={(event) => take(event.currentTarget)}
      />
    </div>
  );
}

/** What is open, in a sentence. */
function OpenModelFacts({ app }: { app: AppState }) {
  const model = useStore(app.model);
  const choice = useStore(app.choice);
  const from = typeof choice.source === "string" ? choice.source : choice.label;
  return (
    <p id="model-facts" class="hint">
      {model ? `${from}: ${factsOf(model)}.` : `${from}: not loaded.`}
    </p>
  );
}

function factsOf(model: Model): string {
  const { layers, architecture, contextLength } = model.spec;
  const moe = layers.map((layer) => layer.mlp).filter((mlp) => mlp?.kind === "moe");
  const first = moe[0];
  const experts = first ? `, ${moe.length} of them with ${first.numExperts} experts, ${first.topK} at a time` : "";
  return `${architecture}, ${layers.length} layers${experts}, context ${contextLength} tokens`;
}
