/** An answer's Markdown. Blocks that did not change are left alone while the text grows, selections in them too. */
import { useLayoutEffect, useRef } from "preact/hooks";
import { type Block, blocksOf, renderBlock } from "./markdown.ts";

export function MarkdownView({ text }: { text: string }) {
  return (
    <div class="markdown">
      {blocksOf(text).map((block, i) => (
        <BlockView key={i} block={block} />
      ))}
    </div>
  );
}

function BlockView({ block }: { block: Block }) {
  const root = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const fragment = renderBlock(block);
    for (const pre of fragment.querySelectorAll("pre")) pre.replaceWith(codeBlock(pre));
    root.current?.replaceChildren(fragment);
  }, [block.raw]);
  return <div ref={root} />;
}

/** The code with its language and a button that copies it. */
function codeBlock(pre: HTMLPreElement): HTMLElement {
  const code = pre.textContent;
  const language = /language-(\S+)/.exec(pre.querySelector("code")?.className ?? "")?.[1] ?? "";
  const figure = document.createElement("figure");
  figure.className = "code";
  const head = document.createElement("figcaption");
  const name = document.createElement("span");
  name.textContent = language;
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "tool";
  copy.textContent = "Copy code";
  copy.addEventListener("click", () => void copyFrom(copy, code));
  head.append(name, copy);
  const body = document.createElement("pre");
  body.tabIndex = 0; // a long line can be scrolled by keyboard
  body.append(...pre.childNodes);
  figure.append(head, body);
  return figure;
}

async function copyFrom(button: HTMLButtonElement, code: string): Promise<void> {
  const label = button.textContent;
  const copied = await navigator.clipboard.writeText(code).then(
    () => true,
    () => false,
  );
  button.textContent = copied ? "Copied" : "Not copied";
  setTimeout(() => {
    button.textContent = label;
  }, 1500);
}
