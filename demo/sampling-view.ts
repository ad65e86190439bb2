/** The sampling controls. What the fields say is what the next answer uses; it is remembered between visits. */
import { byId } from "./dom.ts";
import { type Sampling, saveSettings } from "./settings.ts";

export class SamplingView {
  readonly #form = byId("sampling-form", HTMLFormElement);
  readonly #temperature = byId("temperature", HTMLInputElement);
  readonly #topP = byId("top-p", HTMLInputElement);
  readonly #topK = byId("top-k", HTMLInputElement);
  readonly #maxTokens = byId("max-tokens", HTMLInputElement);
  readonly #seed = byId("seed", HTMLInputElement);
  #valid: Sampling;

  constructor(initial: Sampling) {
    this.#valid = initial;
    this.#write(initial);
    this.#form.addEventListener("submit", (event) => event.preventDefault());
    this.#form.addEventListener("input", () => this.#read());
    this.#form.addEventListener("change", () => this.#write(this.#valid));
  }

  /** The settings in force. */
  get value(): Sampling {
    return this.#valid;
  }

  /** Takes what the fields say where it is within their limits; leaving a field that is not puts it back. */
  #read(): void {
    const { temperature, topP, topK, maxTokens } = this.#valid;
    this.#valid = {
      temperature: valid(this.#temperature) ?? temperature,
      topP: valid(this.#topP) ?? topP,
      topK: valid(this.#topK) ?? topK,
      maxTokens: valid(this.#maxTokens) ?? maxTokens,
      seed: this.#seed.value === "" ? null : (valid(this.#seed) ?? this.#valid.seed),
    };
    saveSettings(this.#valid);
  }

  #write(sampling: Sampling): void {
    this.#temperature.value = String(sampling.temperature);
    this.#topP.value = String(sampling.topP);
    this.#topK.value = String(sampling.topK);
    this.#maxTokens.value = String(sampling.maxTokens);
    this.#seed.value = sampling.seed === null ? "" : String(sampling.seed);
  }
}

function valid(field: HTMLInputElement): number | null {
  const { badInput, rangeOverflow, rangeUnderflow } = field.validity;
  if (field.value === "" || badInput || rangeOverflow || rangeUnderflow) return null;
  return field.step === "1" ? Math.trunc(field.valueAsNumber) : field.valueAsNumber;
}
