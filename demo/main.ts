/** The page starts here: it checks for WebGPU, and then opens the model that its address asks for. */
import { App } from "./app.ts";
import { firstChoice } from "./model-source.ts";
import { findObstacle, showObstacle } from "./no-webgpu.ts";

const obstacle = await findObstacle();
if (obstacle) showObstacle(obstacle);
else await new App().open(firstChoice(location.search));
