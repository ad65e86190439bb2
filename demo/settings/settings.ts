/**
 * What the page remembers between visits, in localStorage. Anything stored that makes no sense is replaced by its default; a
 * browser that refuses storage costs nothing but the memory.
 */
import type { LoadOptions } from "../../src/index.ts";
import { Store } from "../store.ts";
import type { Settings } from "./fields.ts";
import { DEFAULTS, FIELDS, fits, LOADING, type LoadSettings, type SettingName, settingsFrom } from "./fields.ts";

export type { Sampling, Settings } from "./fields.ts";
export { DEFAULTS } from "./fields.ts";

const KEY = "octavo.demo.settings";

/** The settings in force; every change is stored at once. */
export class SettingsStore extends Store<Settings> {
  constructor() {
    super(settingsFrom(readStored()));
  }

  /** Takes the changes that make sense, and leaves the others as they were. */
  change(changes: Partial<Settings>): void {
    const names = Object.keys(changes) as SettingName[];
    const valid = names.filter((name) => name in FIELDS && fits(FIELDS[name], changes[name]));
    this.set({ ...this.value, ...Object.fromEntries(valid.map((name) => [name, changes[name]])) });
    store(this.value);
  }

  /** Puts the settings of these names back to their defaults. */
  reset(names: readonly SettingName[]): void {
    this.change(Object.fromEntries(names.map((name) => [name, DEFAULTS[name]])));
  }
}

/** What `loadModel` is to be told; what is left to the runtime is left out. */
export function loadOptions(settings: LoadSettings): LoadOptions {
  const { policy, prefetch, runAhead, extraGuesses, ramBudgetMb, diskQuotaMb, contextLength } = settings;
  return {
    policy,
    prefetch,
    ...(runAhead === null ? {} : { runAhead }),
    ...(extraGuesses === null ? {} : { extraGuesses }),
    ...(ramBudgetMb === null ? {} : { ramBudgetBytes: ramBudgetMb * 1e6 }),
    ...(diskQuotaMb === null ? {} : { diskQuotaBytes: diskQuotaMb * 1e6 }),
    ...(contextLength === null ? {} : { contextLength }),
  };
}

/** The load settings that differ between `loaded` and `now`: they wait for the model to be loaded again. */
export function waitingFor(loaded: LoadSettings, now: LoadSettings): (keyof LoadSettings)[] {
  return LOADING.filter((name) => loaded[name] !== now[name]);
}

function store(settings: Settings): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // Storage is full or forbidden: the settings last as long as the page.
  }
}

function readStored(): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return typeof parsed === "object" && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}
