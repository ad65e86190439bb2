/** What `model.advice()` says, in words. */
import type { Advice } from "../../src/index.ts";
import { figures } from "../format.ts";

type CapacityEstimate = Advice["now"];

/** One or two sentences: the verdict, and what it rests on. */
export function adviceText({ verdict, now, more, fewer }: Advice): string {
  if (verdict === "unknown") return "Too little has been written to say whether another budget would do better.";
  const here = `${percent(now)} of the choices find their expert here, ${loads(now)} are fetched for a token.`;
  if (verdict === "more") {
    return `More room would help: at ${more.slots} experts a layer it would be ${percent(more)} and ${loads(more)}. Now ${here}`;
  }
  if (verdict === "fewer") {
    return `Less room would do: at ${fewer.slots} experts a layer it would still be ${percent(fewer)}. Now ${here}`;
  }
  return `The budget suits this text: ${here}`;
}

const percent = ({ hitRate }: CapacityEstimate) => `${Math.round(100 * hitRate)} %`;
const loads = ({ loadsPerToken }: CapacityEstimate) => figures(loadsPerToken);
