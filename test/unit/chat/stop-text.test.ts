/** Stops, wherever the text is cut. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { createStopText } from "../../../src/chat/stop-text.ts";

function through(stops: readonly string[], pieces: readonly string[]): { text: string; found: boolean } {
  const stop = createStopText(stops);
  const text = pieces.map((piece) => stop.push(piece)).join("");
  return { text: stop.found ? text : text + stop.flush(), found: stop.found };
}

test("a stop that spans pieces ends the text before it", () => {
  expect(through(["\nUser:"], ["Yes.", "\n", "Us", "er", ": more"])).toEqual({ text: "Yes.", found: true });
});

test("what only looked like one comes later, whole", () => {
  const stop = createStopText(["END"]);
  expect(stop.push("the E")).toBe("the ");
  expect(stop.push("N")).toBe("");
  expect(stop.push("ERGY")).toBe("ENERGY");
  expect(stop.push(" EN")).toBe(" ");
  expect(stop.flush()).toBe("EN");
});

test("the stop that is complete first counts, not the one named first", () => {
  expect(through(["late", "so"], ["so late"])).toEqual({ text: "", found: true });
  expect(through(["cab", "a"], ["cab"])).toEqual({ text: "c", found: true });
});

test("nothing comes after a stop", () => {
  const stop = createStopText(["."]);
  expect(stop.push("One. Two")).toBe("One");
  expect(stop.push(" three.")).toBe("");
  expect(stop.flush()).toBe("");
});

test("the cuts never matter", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 12 });
  const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 }), {
    maxLength: 4,
  });
  fc.assert(
    fc.property(fc.array(letters, { maxLength: 6 }), stops, (pieces, named) => {
      const whole = pieces.join("");
      let [expected, ends] = [whole, false];
      for (let end = 1; end <= whole.length && !ends; end++) {
        const complete = named.filter((stop) => whole.slice(0, end).endsWith(stop));
        ends = complete.length > 0;
        if (ends) expected = whole.slice(0, end - Math.max(...complete.map(({ length }) => length)));
      }
      const { text, found } = through(named, pieces);
      expect({ text, found }).toEqual({ text: expected, found: ends });
    }),
    { numRuns: 500 },
  );
});
