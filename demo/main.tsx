/** The page starts here: it checks for WebGPU, and then opens the model that its address asks for. */
import { render } from "preact";
import { inspectModel, loadModel } from "../src/index.ts";
import { App, Colophon } from "./app.tsx";
import { AppState } from "./app-state.ts";
import { byId } from "./dom.ts";
import { firstChoice } from "./models/choice.ts";
import { Masthead } from "./shell/masthead.tsx";
import { NoWebgpu } from "./shell/no-webgpu.tsx";
import { findObstacle } from "./shell/obstacle.ts";

const root = byId("page", HTMLElement);
const obstacle = await findObstacle();
if (obstacle) {
  render(
    <>
      <Masthead app={null} />
      <NoWebgpu obstacle={obstacle} />
      <Colophon />
    </>,
    root,
  );
} else {
  const app = new AppState({ loadModel, inspectModel });
  render(<App app={app} />, root);
  await app.open(firstChoice(location.search));
}
