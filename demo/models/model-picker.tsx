/** The models to pick from: the built-in one, a list of public ones, any address or hub id, files of this machine. */
import { useState } from "preact/hooks";
import type { AppState } from "../app-state.ts";
import { bytes } from "../format.ts";
import { CATALOGUE, type CatalogueEntry } from "./catalogue.ts";
import { type Choice, choiceOfEntry, choiceOfFiles, choiceOfText, OCTAVO_TALES } from "./choice.ts";

interface Props {
  readonly app: AppState;
  readonly look: (choice: Choice) => void;
}

export function ModelPicker({ app, look }: Props) {
  const [token, keep] = useState("");
  return (
    <section id="source" class="drawer" aria-labelledby="source-title">
      <h2 id="source-title">Open another model</h2>
      <div class="picker">
        <AddressForm look={look} token={token} />
        <FilesField look={look} />
        <TokenField token={token} keep={keep} />
      </div>
      <h3 id="shelf-of-models">Or one of these</h3>
      <ul class="catalogue" aria-labelledby="shelf-of-models">
        <li>
          <button id="default-model" type="button" class="entry" onClick={() => void app.open(OCTAVO_TALES)}>
            <strong>{OCTAVO_TALES.label}</strong>
            <span class="figures">18.6 MB</span>
            <small>comes with this page; 17 M parameters, children’s stories</small>
          </button>
        </li>
        {CATALOGUE.map((entry) => (
          <li key={entry.repo}>
            <Entry entry={entry} look={() => look(choiceOfEntry(entry, token))} />
          </li>
        ))}
      </ul>
      <p class="hint">
        Sizes are of the whole file. Nothing is asked of huggingface.co before you pick a model, and of that one only
        the headers then; loading fetches the dense part, and each expert when a word asks for it.
      </p>
    </section>
  );
}

function Entry({ entry, look }: { entry: CatalogueEntry; look: () => void }) {
  const { name, repo, quantization, fileBytes, billions, activeBillions, experts } = entry;
  return (
    <button type="button" class="entry" onClick={look}>
      <strong>{name}</strong>
      <span class="figures">{bytes(fileBytes)}</span>
      <small>
        {billions} B parameters, {activeBillions} B a token; {experts[0]} experts a layer, {experts[1]} at a time
      </small>
      <small class="figures">
        {repo} {quantization}
      </small>
    </button>
  );
}

function AddressForm({ look, token }: { look: (choice: Choice) => void; token: string }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const text = String(new FormData(event.currentTarget as HTMLFormElement).get("url")).trim();
    if (text) look(choiceOfText(text, token));
  };
  return (
    <form class="stack wide" onSubmit={submit}>
      <label for="url">
        Address of a .gguf file or of a folder with config.json; or owner/name of a model on huggingface.co, with
        @revision and :Q4_K_M where you like
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
          placeholder="https://… or owner/name:Q4_K_M"
          required
        />
        <button type="submit">Look</button>
      </div>
    </form>
  );
}

function TokenField({ token, keep }: { token: string; keep: (token: string) => void }) {
  return (
    <div class="stack">
      <label for="hub-token">
        Access token, for gated models <small>sent to huggingface.co alone; forgotten with this page</small>
      </label>
      <input
        id="hub-token"
        type="password"
        autocomplete="off"
        value={token}
        onInput={(event) => keep(event.currentTarget.value.trim())}
      />
    </div>
  );
}

/** Files by the button, or dropped on the field. */
function FilesField({ look }: { look: (choice: Choice) => void }) {
  const [over, hover] = useState(false);
  const take = (list: FileList | null | undefined) => {
    const files = [...(list ?? [])];
    if (files.length > 0) look(choiceOfFiles(files));
  };
  return (
    <div class="stack">
      <label for="files">
        Files of this machine, picked or dropped: one GGUF, or config.json with what lies beside it
      </label>
      <input
        id="files"
        type="file"
        class={over ? "over" : ""}
        multiple
        accept=".gguf,.safetensors,.json"
        onChange={(event) => {
          take(event.currentTarget.files);
          event.currentTarget.value = "";
        }}
        onDragOver={(event) => {
          event.preventDefault();
          hover(true);
        }}
        onDragLeave={() => hover(false)}
        onDrop={(event) => {
          event.preventDefault();
          hover(false);
          take(event.dataTransfer?.files);
        }}
      />
    </div>
  );
}
