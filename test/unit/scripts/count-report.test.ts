import { expect, test } from "vitest";
import { countReport } from "../../../scripts/count-report.mjs";

const file = (status: string, ...tests: string[]) => ({
  name: "a.test.ts",
  status,
  assertionResults: tests.map((test, i) => ({ status: test, fullName: `test ${i}` })),
});
const count = (testResults: ReturnType<typeof file>[], exitedWell = true) => {
  const { passed, failed } = countReport({ testResults }, exitedWell);
  return [passed, failed];
};

test("passed and failed tests are counted", () => {
  expect(count([file("passed", "passed", "passed"), file("failed", "passed", "failed")], false)).toEqual([3, 1]);
});

test.each(["skipped", "todo", "pending", "disabled"])("a test that is %s counts as failed", (status) => {
  expect(count([file("passed", "passed", status)])).toEqual([1, 1]);
});

test("a file that does not load or holds no test counts as failed", () => {
  expect(count([file("failed"), file("passed")], false)).toEqual([0, 2]);
});

test("a failed file whose tests all passed counts as failed", () => {
  expect(count([file("failed", "passed")], false)).toEqual([1, 1]);
});

test("an empty tier counts as failed", () => {
  expect(count([])).toEqual([0, 1]);
});

test("an error outside the tests counts as failed", () => {
  expect(count([file("passed", "passed")], false)).toEqual([1, 1]);
});

test("what failed is named again, with the beginning of its message", () => {
  const failureMessages = ["AssertionError: expected 1 to be 2\nseen: 1\n    at file.ts:1:2\n    at other.ts"];
  const assertionResults = [{ status: "failed", fullName: "adds", failureMessages }];
  const { notes } = countReport({ testResults: [{ name: "a.test.ts", status: "failed", assertionResults }] }, false);
  expect(notes).toHaveLength(1);
  expect(notes[0]).toMatch(/a\.test\.ts: adds\n +AssertionError: expected 1 to be 2\n +seen: 1$/);
});
