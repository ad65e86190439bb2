// The service worker opens the page. It runs no model itself; asked to, it says why.
import { loadModel } from "./node_modules/octavo/dist/index.js";

chrome.action.onClicked.addListener(() => chrome.tabs.create({ url: "page.html" }));

chrome.runtime.onMessage.addListener((message, _sender, answer) => {
  if (message !== "try here") return false;
  loadModel("https://example.org/model.gguf").then(
    () => answer("loaded"),
    (error) => answer(`${error.name}: ${error.message}`),
  );
  return true; // the answer comes later
});
