// Counts vitest's JSON report by this project's rule: a test that did not run is red.

/**
 * @typedef {{ passed: number, failed: number, notes: string[] }} Count
 * @typedef {{ status: string, fullName: string }} Assertion
 * @typedef {{ name: string, status: string, assertionResults: Assertion[] }} FileResult
 */

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
