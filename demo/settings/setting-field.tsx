/** One setting as a labelled field. What it says within its limits is in force at once; leaving it else puts it back. */
import type { AppState } from "../app-state.ts";
import { useStore } from "../use-store.ts";
import {
  type ChoiceField,
  FIELDS,
  type NumberField,
  type SettingName,
  type Settings,
  type TextField,
} from "./fields.ts";

export function SettingField({ app, name }: { app: AppState; name: SettingName }) {
  const value = useStore(app.settings)[name];
  const field = FIELDS[name];
  const change = (to: string | number | null) => app.settings.change({ [name]: to } as Partial<Settings>);
  return (
    <>
      <label for={field.id}>
        {field.label} {field.note && <small>{field.note}</small>}
      </label>
      {field.kind === "number" && <NumberInput field={field} value={value as number | null} change={change} />}
      {field.kind === "choice" && <ChoiceInput field={field} value={String(value)} change={change} />}
      {field.kind === "text" && <TextInput field={field} value={String(value)} change={change} />}
    </>
  );
}

interface Of<Field, Value> {
  readonly field: Field;
  readonly value: Value;
  readonly change: (to: Value) => void;
}

function NumberInput({ field, value, change }: Of<NumberField, number | null>) {
  const { id, min, max, step, empty } = field;
  const said = ({ value: text, valueAsNumber, validity }: HTMLInputElement): number | null | undefined => {
    if (text === "" && !validity.badInput) return empty === undefined ? undefined : null;
    if (validity.badInput || validity.rangeOverflow || validity.rangeUnderflow) return undefined;
    return step === 1 ? Math.trunc(valueAsNumber) : valueAsNumber;
  };
  const take = (input: HTMLInputElement) => {
    const now = said(input);
    if (now !== undefined) change(now);
  };
  return (
    <input
      id={id}
      type="number"
      {...{ min, max, step }}
      inputMode={step === 1 ? "numeric" : "decimal"}
      placeholder={empty ?? ""}
      value={value === null ? "" : String(value)}
      onInput={(event) => take(event.currentTarget)}
      onChange={(event) => {
        if (said(event.currentTarget) === undefined) event.currentTarget.value = value === null ? "" : String(value);
      }}
    />
  );
}

function ChoiceInput({ field, value, change }: Of<ChoiceField, string>) {
  return (
    <select id={field.id} value={value} onChange={(event) => change(event.currentTarget.value)}>
      {field.options.map(([name, label]) => (
        <option key={name} value={name}>
          {label}
        </option>
      ))}
    </select>
  );
}

function TextInput({ field, value, change }: Of<TextField, string>) {
  const { id, maxLength } = field;
  return (
    <textarea
      id={id}
      class="setting-text"
      rows={4}
      maxLength={maxLength}
      value={value}
      onInput={(event) => change(event.currentTarget.value)}
    />
  );
}
