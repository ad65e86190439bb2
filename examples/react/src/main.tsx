import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";

const source = new URLSearchParams(location.search).get("model") ?? "model.gguf";
const root = document.querySelector("#root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <App source={source} />
    </StrictMode>,
  );
}
