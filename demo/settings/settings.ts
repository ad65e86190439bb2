/**
 * What the page remembers between visits: the budget and the sampling settings, in localStorage. Anything stored that
 * is not a sensible number is replaced by its default; a browser that refuses storage costs nothing but the memory.
 */

import { Store } from "../store.ts";

export interface Sampling {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly maxTokens: number;
  /** `null` draws a new seed for every answer. */
  readonly seed: number | null;
}

export interface Settings extends Sampling {
  /** Share of all experts that may be on the GPU, in percent. */
  readonly budgetPercent: number;
}

export const DEFAULTS: Settings = {
  budgetPercent: 25,
  temperature: 0.8,
  topP: 0.95,
  topK: 40,
  maxTokens: 160,
  seed: null,
};

const KEY = "octavo.demo.settings";

/** The settings in force; every change is stored at once. */
export class SettingsStore extends Store<Settings> {
  constructor() {
    super(loadSettings());
  }

  change(changes: Partial<Settings>): void {
    this.set({ ...this.value, ...changes });
    saveSettings(this.value);
  }
}

function loadSettings(): Settings {
  const stored = readStored();
  const number = (name: keyof Settings, fallback: number, min: number, max: number): number => {
    const value = stored[name];
    return typeof value === "number" && value >= min && value <= max ? value : fallback;
  };
  return {
    budgetPercent: number("budgetPercent", DEFAULTS.budgetPercent, 0, 100),
    temperature: number("temperature", DEFAULTS.temperature, 0, 5),
    topP: number("topP", DEFAULTS.topP, 0.01, 1),
    topK: Math.trunc(number("topK", DEFAULTS.topK, 0, 1_000_000)),
    maxTokens: Math.trunc(number("maxTokens", DEFAULTS.maxTokens, 1, 100_000)),
    seed: stored.seed == null ? null : Math.trunc(number("seed", 0, 0, 0xffff_ffff)),
  };
}

function saveSettings(settings: Settings): void {
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
