/** What the reader can set for every answer. */
import type { AppState } from "../app-state.ts";
import { SamplingForm } from "./sampling-form.tsx";

export function SettingsTab({ app }: { app: AppState }) {
  return (
    <section class="drawer" aria-labelledby="settings-title">
      <h2 id="settings-title">Sampling</h2>
      <SamplingForm app={app} />
    </section>
  );
}
