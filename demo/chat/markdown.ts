/**
 * Markdown of a stranger, as elements that can do nothing: no image is fetched, no HTML of the text is taken as HTML, and
 * what the parser makes passes a sanitiser that knows a short list of tags. Links lead away only when they are clicked.
 */
import DOMPurify, { type Config } from "dompurify";
import { Marked, type Token } from "marked";

const marked = new Marked({
  gfm: true,
  renderer: {
    // The text says `<b>`: it is shown, not obeyed.
    html: ({ text }) => escaped(text),
    // An image would be asked of its server: its description stands for it.
    image: ({ text, href }) => `<em>[image: ${escaped(text || href)}]</em>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

const ALLOWED: Config = {
  ALLOWED_TAGS: [
    ...["p", "br", "hr", "em", "strong", "del", "code", "pre", "blockquote", "a"],
    ...["h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li"],
    ...["table", "thead", "tbody", "tr", "th", "td"],
  ],
  ALLOWED_ATTR: ["href", "class", "align", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

/** A part of the text that can be drawn by itself: a paragraph, a list, a block of code. */
export interface Block {
  /** As it was written. */
  readonly raw: string;
  readonly token: Token;
}

/** The blocks of `text`, in order; while a text grows, all but the last few stay as they are. */
export function blocksOf(text: string): Block[] {
  return marked
    .lexer(text)
    .filter(({ type }) => type !== "space")
    .map((token) => ({ raw: token.raw, token }));
}

/** The elements of one block. Headings become what comes below the page's own. */
export function renderBlock({ token }: Block): DocumentFragment {
  const fragment = DOMPurify.sanitize(marked.parser([token]), ALLOWED) as unknown as DocumentFragment;
  for (const link of fragment.querySelectorAll("a")) {
    if (!link.hasAttribute("href")) continue;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const made of fragment.querySelectorAll("[class]")) {
    if (!/^language-[\w+#.-]{1,30}$/.test(made.className)) made.removeAttribute("class");
  }
  return fragment;
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
