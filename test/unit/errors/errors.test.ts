/** Named errors: class, code, details and causes survive a border over which only plain data passes. */
import { readFileSync } from "node:fs";
import * as comlink from "comlink";
import { afterEach, describe, expect, test } from "vitest";
import {
  BudgetError,
  DeviceError,
  errorCode,
  FormatError,
  OctavoError,
  packError,
  SourceError,
  UnsupportedError,
  UsageError,
  unpackError,
} from "../../../src/errors.ts";
import { carryErrorsWhole } from "../../../src/util/error-border.ts";

const CLASSES = { OctavoError, FormatError, UnsupportedError, SourceError, BudgetError, DeviceError, UsageError };

const crossed = (error: Error): Error => unpackError(structuredClone(packError(error)));

describe("packed, cloned and unpacked", () => {
  test.each(Object.entries(CLASSES))("%s keeps class, name, message, stack, code, details, cause", (name, Class) => {
    const details = { source: "model.gguf", smallestBytes: 12 };
    const original = new Class("expected a, got b", { details, cause: new TypeError("fetch failed") });
    const rebuilt = crossed(original);
    expect(rebuilt).toBeInstanceOf(Class);
    expect(rebuilt).toBeInstanceOf(OctavoError);
    expect(rebuilt).toMatchObject({ name, message: "expected a, got b", code: original.code, details });
    expect(rebuilt.stack).toBe(original.stack);
    expect(rebuilt.cause).toBeInstanceOf(TypeError);
    expect(rebuilt.cause).toMatchObject({ message: "fetch failed" });
    expect(Object.keys(rebuilt).sort()).toEqual(Object.keys(original).sort());
  });

  test("a code of one's own is kept, each class has another by default", () => {
    expect(crossed(new SourceError("x", { code: "http-404" }))).toMatchObject({ code: "http-404" });
    const codes = Object.values(CLASSES).map((Class) => new Class("x").code);
    expect(new Set(codes).size).toBe(codes.length);
  });

  test("a chain of causes crosses whole, a ring of them ends", () => {
    const chain = new DeviceError("a", { cause: new SourceError("b", { code: "network", cause: "wire cut" }) });
    expect(crossed(chain).cause).toMatchObject({ name: "SourceError", code: "network", cause: "wire cut" });
    const ring = new UsageError("ring");
    ring.cause = ring;
    let depth = 0;
    for (let at: unknown = crossed(ring); at instanceof UsageError; at = at.cause) depth += 1;
    expect(depth).toBe(9);
  });

  test("the platform's errors stay what they are", () => {
    for (const name of ["AbortError", "QuotaExceededError"]) {
      const rebuilt = crossed(new DOMException("stop", name));
      expect(rebuilt).toBeInstanceOf(DOMException);
      expect(rebuilt).toMatchObject({ name, message: "stop" });
    }
    expect(crossed(new RangeError("r"))).toBeInstanceOf(RangeError);
    expect(crossed(Object.assign(new Error("x"), { name: "Strange" }))).toMatchObject({
      name: "Strange",
      message: "x",
    });
  });
});

test("errorCode: for a page that acts on what happened", () => {
  expect(errorCode(new BudgetError("x"))).toBe("budget-too-small");
  expect(errorCode(new DOMException("x", "AbortError"))).toBe("aborted");
  for (const other of [new TypeError("x"), "text", undefined, { code: "network" }]) {
    expect(errorCode(other)).toBeUndefined();
  }
});

test("the table of codes in the docstring names every code of the types, and no other", () => {
  const text = readFileSync(new URL("../../../src/errors.ts", import.meta.url), "utf8");
  const rows = text.split("\n").filter((line) => line.startsWith(" * | "));
  const inTable = rows.flatMap((row) => [...(row.split("|")[2] ?? "").matchAll(/`([^`]+)`/g)].map(([, code]) => code));
  const types = text.slice(text.indexOf("export type UnsupportedCode"), text.indexOf("export interface ErrorDetails"));
  const inTypes = [...types.matchAll(/"([a-z\d-]+)"/g)].map(([, code]) => code).filter((code) => code !== "octavo");
  expect(inTable.sort()).toEqual(inTypes.sort());
});

describe("through comlink", () => {
  const ports: MessagePort[] = [];
  afterEach(() => {
    for (const port of ports.splice(0)) port.close();
  });

  /** What a caller on the other side of a channel sees of `thrown`. */
  async function caught(thrown: unknown): Promise<unknown> {
    carryErrorsWhole();
    carryErrorsWhole(); // once more changes nothing
    const { port1, port2 } = new MessageChannel();
    ports.push(port1, port2);
    const api = {
      fail: (): string => {
        throw thrown;
      },
    };
    comlink.expose(api, port1 as unknown as comlink.Endpoint);
    const remote = comlink.wrap<typeof api>(port2 as unknown as comlink.Endpoint);
    return remote.fail().then(
      () => "nothing thrown",
      (error: unknown) => error,
    );
  }

  test("errors come whole, values that are no errors as they are", async () => {
    const error = new BudgetError("small", { details: { smallestBytes: 7 }, cause: new RangeError("r") });
    const arrived = await caught(error);
    expect(arrived).toBeInstanceOf(BudgetError);
    expect(arrived).toMatchObject({ code: "budget-too-small", details: { smallestBytes: 7 }, stack: error.stack });
    expect((arrived as Error).cause).toBeInstanceOf(RangeError);
    expect(await caught("text")).toBe("text");
    expect(await caught(undefined)).toBeUndefined();
  });
});
