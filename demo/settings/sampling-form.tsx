/** The sampling controls. What the fields say is what the next answer uses; it is remembered between visits. */
import type { AppState } from "../app-state.ts";
import { useStore } from "../use-store.ts";
import type { Sampling } from "./settings.ts";

interface Field {
  readonly name: keyof Sampling;
  readonly id: string;
  readonly label: string;
  readonly note?: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
}

const FIELDS: readonly Field[] = [
  { name: "temperature", id: "temperature", label: "Temperature", min: 0, max: 5, step: 0.05 },
  { name: "topP", id: "top-p", label: "Top-p", min: 0.01, max: 1, step: 0.01 },
  { name: "topK", id: "top-k", label: "Top-k", note: "0 keeps all", min: 0, max: 1_000_000, step: 1 },
  { name: "maxTokens", id: "max-tokens", label: "Tokens at a time", min: 1, max: 100_000, step: 1 },
  { name: "seed", id: "seed", label: "Seed", note: "empty: a new one each time", min: 0, max: 0xffff_ffff, step: 1 },
];

export function SamplingForm({ app }: { app: AppState }) {
  return (
    <form class="fields" onSubmit={(event) => event.preventDefault()}>
      {FIELDS.map((field) => (
        <SamplingField key={field.id} app={app} field={field} />
      ))}
    </form>
  );
}

function SamplingField({ app, field }: { app: AppState; field: Field }) {
  const value = useStore(app.settings)[field.name];
  const { name, id, label, note, min, max, step } = field;
  const shown = value === null ? "" : String(value);
  /** Takes what the field says where it is within its limits; leaving a field that is not puts it back. */
  const take = (input: HTMLInputElement) => {
    if (name === "seed" && input.value === "" && !input.validity.badInput) app.settings.change({ seed: null });
    const said = valid(input);
    if (said !== null) app.settings.change({ [name]: said });
  };
  return (
    <>
      <label for={id}>
        {label} {note && <small>{note}</small>}
      </label>
      <input
        id={id}
        type="number"
        {...{ min, max, step }}
        inputMode={step === 1 ? "numeric" : "decimal"}
        placeholder={name === "seed" ? "new" : ""}
        defaultValue={shown}
        onInput={(event) => take(event.currentTarget)}
        onChange={(event) => {
          const now = app.settings.value[name];
          event.currentTarget.value = now === null ? "" : String(now);
        }}
      />
    </>
  );
}

function valid(field: HTMLInputElement): number | null {
  const { badInput, rangeOverflow, rangeUnderflow } = field.validity;
  if (field.value === "" || badInput || rangeOverflow || rangeUnderflow) return null;
  return field.step === "1" ? Math.trunc(field.valueAsNumber) : field.valueAsNumber;
}
