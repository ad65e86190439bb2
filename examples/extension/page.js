import { loadModel } from "./node_modules/octavo/dist/index.js";

const form = document.querySelector("form");
const status = document.querySelector("[role=status]");
const output = document.querySelector("#text");

async function tell(source, prompt) {
  status.textContent = "Loading…";
  const model = await loadModel(source);
  try {
    status.textContent = `Writing on ${model.adapter.name}`;
    const session = await model.createSession();
    await session.prefill(await model.encode(prompt));
    const ids = [];
    for await (const id of session.generate({ maxTokens: 40 })) {
      ids.push(id);
      output.textContent = prompt + (await model.decode(ids));
    }
    status.textContent = "Done";
  } finally {
    await model.dispose();
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const { source, prompt } = form.elements;
  tell(source.value, prompt.value).catch((error) => {
    status.textContent = `${error.name}: ${error.message}`;
  });
});
