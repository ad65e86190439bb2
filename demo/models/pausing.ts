/** Whether a load can be paused: pausing calls it off, and going on is only worth it where what came was kept on disk. */
import { type Choice, isRemote } from "./choice.ts";

/** The reason why `choice` cannot be paused while it loads; "" when it can. */
export function whyNoPause(choice: Choice, storage: { readonly getDirectory?: unknown } | undefined): string {
  if (!isRemote(choice)) return "These bytes are on this machine already: there is no download to pause.";
  if (!storage?.getDirectory) return "This page may not store what has come, so a download cannot be taken up again.";
  return "";
}
