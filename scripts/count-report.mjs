// Counts vitest's JSON report by this project's rule: a test that did not run is red.

/** Characters of a failure's message that are said again. */
const MAX_MESSAGE_LENGTH = 1500;

/**
 * @typedef {{ passed: number, failed: number, notes: string[] }} Count
 * @typedef {{ status: string, fullName: string, failureMessages?: string[] | undefined }} Assertion
 * @typedef {{ name: string, status: string, assertionResults: Assertion[] }} FileResult
 */

/** @param {Assertion} test */
const isRed = (test) => test.status === "failed";

/**
 * Said again at the end, where it is found: a log of a whole run is long, and may be kept in part.
 * @param {FileResult} file
 * @param {Assertion} test
 */
function failure(file, { fullName, failureMessages = [] }) {
  const [message = ""] = failureMessages.map((text) => text.split("\n    at ", 1)[0]?.slice(0, MAX_MESSAGE_LENGTH));
  return `failed: ${file.name}: ${fullName}\n${message.replaceAll(/^/gm, " ".repeat(13))}`;
}

/**
 * @param {{ testResults: FileResult[] }} report
 * @param {boolean} exitedWell whether vitest itself ended with 0
 * @returns {Count}
 */
export function countReport(report, exitedWell) {
  const files = report.testResults;
  const tests = files.flatMap((file) => file.assertionResults);
  const passed = tests.filter((test) => test.status === "passed").length;
  const notRun = tests.filter((test) => test.status !== "passed" && test.status !== "failed");
  const notes = notRun.map((test) => `did not run (${test.status}): ${test.fullName}`);
  for (const file of files) notes.push(...file.assertionResults.filter(isRed).map((test) => failure(file, test)));
  let failed = tests.length - passed;
  for (const file of files) {
    const hasRedTest = file.assertionResults.some((test) => test.status !== "passed");
    // A file can fail without a failed test: it does not load, or it holds none.
    if (hasRedTest || (file.status === "passed" && file.assertionResults.length > 0)) continue;
    failed += 1;
    notes.push(`did not run: ${file.name}`);
  }
  if (files.length === 0) {
    failed += 1;
    notes.push("the tier ran no tests");
  }
  // Unhandled errors and a lost browser fail the run without failing a test.
  if (!exitedWell && failed === 0) {
    failed += 1;
    notes.push("vitest reported an error outside the tests; see above");
  }
  return { passed, failed, notes };
}
