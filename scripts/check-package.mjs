// Holds the packed npm module to what bundlers, Node and TypeScript expect of one: publint on the files and package.json,
// arethetypeswrong on how every entry resolves. Works on the tarball that would be published, without a network. Needs dist/.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { ROOT } from "./install.mjs";

/** Ways to resolve a package that Octavo does not serve: it is made of ES modules, and named by `exports` only. */
const NOT_SERVED = ["node10", "node16-cjs"];

/** @returns {{ name: string, data: Uint8Array }} the tarball that `npm publish` would send */
function pack() {
  const folder = mkdtempSync(join(tmpdir(), "octavo-pack-"));
  try {
    const args = ["pack", "--ignore-scripts", "--json", "--pack-destination", folder];
    const [{ filename }] = JSON.parse(execFileSync("npm", args, { cwd: ROOT, encoding: "utf8" }));
    return { name: filename, data: new Uint8Array(readFileSync(join(folder, filename))) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @param {Uint8Array} tarball @returns {Promise<string[]>} */
async function publintProblems(tarball) {
  const data = /** @type {ArrayBuffer} */ (tarball.slice().buffer);
  const { messages, pkg } = await publint({ pack: { tarball: data }, strict: true });
  return messages.map((message) => `publint, ${message.type}: ${formatMessage(message, pkg, { color: false })}`);
}

/** @param {Uint8Array} tarball @returns {Promise<string[]>} */
async function typeProblems(tarball) {
  const analysis = await checkPackage(createPackageFromTarballData(tarball));
  if (!analysis.types) return ["arethetypeswrong: the package has no types"];
  const ours = analysis.problems.filter((problem) => {
    return !("resolutionKind" in problem) || !NOT_SERVED.includes(problem.resolutionKind);
  });
  return ours.map((problem) => `arethetypeswrong: ${JSON.stringify(problem)}`);
}

/** @returns {Promise<string[]>} */
export async function packageProblems() {
  const { data } = pack();
  return [...(await publintProblems(data)), ...(await typeProblems(data))];
}

if (process.argv[1] === import.meta.filename) {
  const problems = await packageProblems();
  for (const problem of problems) console.error(problem);
  console.log(problems.length === 0 ? "The packed module is in order." : `${problems.length} problems.`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
