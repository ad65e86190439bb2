/** Settings as plain data: what is stored is checked, what makes no sense is left out, and what waits for a reload. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DEFAULTS, FIELDS, fits, settingsFrom } from "../../../demo/settings/fields.ts";
import { loadOptions, SettingsStore, waitingFor } from "../../../demo/settings/settings.ts";
import { PREFETCH_NAMES } from "../../../src/engine/options.ts";
import { POLICY_NAMES } from "../../../src/pager/policy.ts";

const stored = new Map<string, string>();
beforeEach(() => {
  stored.clear();
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => stored.set(key, value),
  });
});
afterEach(() => void vi.unstubAllGlobals());

describe("stored settings", () => {
  test("survive a visit, and single nonsense costs only itself", () => {
    new SettingsStore().change({ temperature: 0.3, systemPrompt: "Be brief.", runAhead: 2, policy: "lru" });
    expect(new SettingsStore().value).toEqual({
      ...DEFAULTS,
      temperature: 0.3,
      systemPrompt: "Be brief.",
      runAhead: 2,
      policy: "lru",
    });
    const [key = "", text = ""] = [...stored][0] ?? [];
    stored.set(key, JSON.stringify({ ...JSON.parse(text), temperature: "hot", topP: 7, seed: -1, policy: "none" }));
    expect(new SettingsStore().value).toEqual({ ...DEFAULTS, systemPrompt: "Be brief.", runAhead: 2 });
  });

  test.each(["", "{", "null", "[1]", '"text"', '{"maxTokens":1.5,"topK":null}'])("%s gives the defaults", (text) => {
    stored.set("octavo.demo.settings", text);
    expect(new SettingsStore().value).toEqual(DEFAULTS);
  });

  test("a storage that refuses costs nothing but the memory", () => {
    vi.stubGlobal("localStorage", {
      getItem: () => {
        throw new DOMException("no", "SecurityError");
      },
      setItem: () => {
        throw new DOMException("full", "QuotaExceededError");
      },
    });
    const settings = new SettingsStore();
    settings.change({ temperature: 1 });
    expect(settings.value.temperature).toBe(1);
  });
});

describe("a change", () => {
  test("that a field cannot have is not taken", () => {
    const settings = new SettingsStore();
    settings.change({ topP: 2, maxTokens: 0, temperature: 1.5, thinkingBudget: 12 });
    expect(settings.value).toEqual({ ...DEFAULTS, temperature: 1.5, thinkingBudget: 12 });
    settings.reset(["temperature"]);
    expect(settings.value).toEqual({ ...DEFAULTS, thinkingBudget: 12 });
  });

  test("of the defaults: each fits its own field, and ids are not shared", () => {
    for (const [name, field] of Object.entries(FIELDS)) expect(fits(field, field.otherwise), name).toBe(true);
    expect(new Set(Object.values(FIELDS).map(({ id }) => id)).size).toBe(Object.keys(FIELDS).length);
    expect(settingsFrom({})).toEqual(DEFAULTS);
  });

  test("offers what the runtime takes", () => {
    const options = (name: "policy" | "prefetch") => {
      const field = FIELDS[name];
      return field.kind === "choice" ? field.options.map(([value]) => value).sort() : [];
    };
    expect(options("policy")).toEqual([...POLICY_NAMES].sort());
    expect(options("prefetch")).toEqual([...PREFETCH_NAMES].sort());
  });
});

describe("loading", () => {
  test("is told what was set, and not what is left to the runtime", () => {
    expect(loadOptions(DEFAULTS)).toEqual({ policy: "successor", prefetch: "none" });
    expect(
      loadOptions({
        ...DEFAULTS,
        runAhead: 0,
        extraGuesses: 3,
        ramBudgetMb: 1.5,
        diskQuotaMb: 100,
        contextLength: 512,
      }),
    ).toEqual({
      policy: "successor",
      prefetch: "none",
      runAhead: 0,
      extraGuesses: 3,
      ramBudgetBytes: 1_500_000,
      diskQuotaBytes: 100_000_000,
      contextLength: 512,
    });
  });

  test("waits for what differs from what the model was loaded with", () => {
    expect(waitingFor(DEFAULTS, { ...DEFAULTS })).toEqual([]);
    expect(waitingFor(DEFAULTS, { ...DEFAULTS, policy: "lru", contextLength: 64 })).toEqual([
      "policy",
      "contextLength",
    ]);
  });
});
