/** Named errors across a border that keeps only name, message and stack. */
import { expect, test } from "vitest";
import * as errors from "../../../src/errors.ts";

const { rebuildError, ...classes } = errors;

test.each(Object.entries(classes))("%s keeps its class, name, message and stack", (name, Class) => {
  const original = new Class("expected a, got b");
  const crossed = structuredClone({ name: original.name, message: original.message, stack: original.stack });
  const rebuilt = rebuildError(Object.assign(new Error(crossed.message), crossed));
  expect(rebuilt).toBeInstanceOf(Class);
  expect(rebuilt).toBeInstanceOf(errors.OctavoError);
  expect(rebuilt).toMatchObject({ name, message: "expected a, got b", stack: original.stack });
});

test("aborts become the platform's, everything else passes unchanged", () => {
  const abort = rebuildError(Object.assign(new Error("stop"), { name: "AbortError" }));
  expect(abort).toBeInstanceOf(DOMException);
  expect(abort).toMatchObject({ name: "AbortError", message: "stop" });
  for (const other of [new TypeError("x"), "text", undefined, new errors.UsageError("y")]) {
    expect(rebuildError(other)).toBe(other);
  }
});
