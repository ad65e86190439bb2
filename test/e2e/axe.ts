/** The accessibility checker in a page: what it finds wrong, in lines that a failure can show. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

interface AxeResult {
  readonly violations: readonly { readonly id: string; readonly nodes: readonly { readonly target: unknown }[] }[];
}

/**
 * Rules that the page as it is now breaks, each with the elements that do; empty for a clean page.
 * @param rules the only ones to check; all without.
 */
export async function violations(page: Page, rules?: readonly string[]): Promise<string[]> {
  await page.evaluate(`window.axe || (() => { ${AXE} })()`); // by the debugger: the page's own rules allow no such script
  const { violations } = (await page.evaluate(
    `window.axe.run(${rules ? JSON.stringify({ runOnly: rules }) : ""})`,
  )) as AxeResult;
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => String(target)).join(", ")}`);
}
