/** The page that explains a missing WebGPU, in the place of everything that needs it. */
import type { Obstacle } from "./obstacle.ts";

export function NoWebgpu({ obstacle }: { obstacle: Obstacle }) {
  return (
    <main id="no-webgpu" class="no-webgpu" aria-labelledby="no-webgpu-title">
      <h2 id="no-webgpu-title">{obstacle.title}</h2>
      <p>{obstacle.missing}</p>
      <ul>
        {obstacle.remedies.map((remedy) => (
          <li key={remedy}>{remedy}</li>
        ))}
      </ul>
    </main>
  );
}
