/** The measurements of this device; they run on a page of their own. */
import type { AppState } from "../app-state.ts";

export function BenchTab(_: { app: AppState }) {
  return (
    <section class="drawer" aria-labelledby="bench-title">
      <h2 id="bench-title">Measure this device</h2>
      <p>
        <a href="bench.html">Measure Octavo Tales</a> at several budgets, in turns, and download the figures as JSON.
      </p>
    </section>
  );
}
