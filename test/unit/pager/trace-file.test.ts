/** Traces as text: what the engine records is read back, and a stranger's file is refused by line. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PACKED_MARK, packTrace, unpackTrace } from "../../../scripts/packed-trace.ts";
import { FormatError } from "../../../src/errors.ts";
import { RoutingTrace } from "../../../src/pager/routing-trace.ts";
import { buildTrace, parseTrace } from "../../../src/pager/trace-file.ts";

const HEADER = "turn,phase,step,layer,rank,expert,weight\n";

describe("what is read", () => {
  const text = "0,1,7,2,0,5,0.75\n0,1,7,2,1,3,0.25\n0,1,7,4,0,1,1e-3\n0,1,7,4,1,0,-0.5\n";
  const expected = {
    layers: [2, 4],
    numExpertsSeen: 6,
    topK: 2,
    steps: [
      {
        turn: 0,
        phase: 1,
        step: 7,
        experts: [
          [5, 3],
          [1, 0],
        ],
      },
    ],
  };

  test.each([
    ["bare", text],
    ["a header", HEADER + text],
    ["comments, blank lines, other line ends", `# a model\r\n${HEADER}\r\n${text.replaceAll("\n", "\r\n")}# end`],
    ["no weights", "turn,phase,step,layer,rank,expert\n0,1,7,2,0,5\n0,1,7,2,1,3\n0,1,7,4,1,0\n0,1,7,4,0,1"],
  ])("%s", (_, given) => {
    expect(parseTrace(given)).toEqual(expected);
  });

  test("what the engine records", () => {
    const recorder = new RoutingTrace();
    recorder.start();
    for (const [phase, step] of [
      [0, 0],
      [1, 1],
      [0, 2],
      [1, 3],
    ] as const) {
      recorder.add(phase, step, 1, [step, 9], [0.5, 0.25]);
      recorder.add(phase, step, 3, [8, step], [0.5, 0.25]);
    }
    const { steps, layers } = buildTrace(recorder.take());
    expect(layers).toEqual([1, 3]);
    expect(steps.map(({ turn, phase, step }) => [turn, phase, step])).toEqual([
      [0, 0, 0],
      [0, 1, 1],
      [1, 0, 2],
      [1, 1, 3],
    ]);
    expect(steps[2]?.experts).toEqual([
      [2, 9],
      [8, 2],
    ]);
  });

  test("layer by layer, and the same position again after a rewind", () => {
    const rows = (layer: number, ids: number[]) => ids.map((id, step) => `0,1,${step},${layer},0,${id}`);
    const layerMajor = parseTrace([...rows(0, [4, 5]), ...rows(1, [6, 7])].join("\n"));
    expect(layerMajor.steps.map(({ experts }) => experts)).toEqual([
      [[4], [6]],
      [[5], [7]],
    ]);
    const rewound = parseTrace("0,1,5,0,0,1\n0,1,6,0,0,2\n0,1,5,0,0,3\n0,1,6,0,0,4");
    expect(rewound.steps.map(({ step, experts }) => [step, experts[0]?.[0]])).toEqual([
      [5, 1],
      [6, 2],
      [5, 3],
      [6, 4],
    ]);
  });

  test("a prefill token may leave a layer out", () => {
    expect(parseTrace("0,0,0,0,0,3\n0,0,1,0,0,4\n0,0,1,1,0,5").steps.map(({ experts }) => experts)).toEqual([
      [[3], []],
      [[4], [5]],
    ]);
  });
});

describe("what is refused", () => {
  test.each([
    ["nothing", "", /there are none/],
    ["a header alone", HEADER, /there are none/],
    ["other columns", "turn,phase,token\n0,1,2", /line 1.*columns/],
    ["a header that comes late", `0,1,0,0,0,1\n${HEADER}`, /line 2/],
    ["words", "0,1,0,0,0,one", /line 1/],
    ["an empty field", "0,1,0,0,,1", /line 1/],
    ["too few fields", "# c\n0,1,0,0,0", /line 2/],
    ["too many fields", "0,1,0,0,0,1,0.5,9", /line 1/],
    ["an infinite weight", "0,1,0,0,0,1,1e999", /line 1/],
    ["a fraction", "0,1,0.5,0,0,1", /step.*whole number/],
    ["a negative id", "0,1,0,0,0,-1", /expert.*whole number/],
    ["a phase of its own", "0,2,0,0,0,1", /phase/],
    ["an expert id that would size a table", "0,1,0,0,0,65536", /expert.*below 65536.*65536/],
    ["a rank that would", "0,1,0,0,256,1", /rank.*below 256/],
    ["a layer that would", "0,1,0,4096,0,1", /layer.*below 4096/],
    ["a rank left out", "0,1,0,0,0,1\n0,1,0,0,2,3", /layer 0: a rank is missing/],
    ["an expert twice", "0,1,0,0,0,1\n0,1,0,0,1,1", /one expert at two ranks/],
    ["a row twice", "0,1,0,0,0,1\n0,1,0,1,0,1\n0,1,0,1,0,1", /layer 0: expected experts/],
    ["a decoded step without a layer", "0,1,0,0,0,1\n0,1,0,1,0,1\n0,1,1,0,0,1", /step 1, layer 1/],
  ])("%s", (_, text, message) => {
    expect(() => parseTrace(text)).toThrow(FormatError);
    expect(() => parseTrace(text)).toThrow(message);
  });

  test("any text is a trace or a FormatError", () => {
    const pieces = fc.constantFrom("0", "1", ",", "\n", "-", ".", "e9", "#", "turn", "255", " ", "0,1,0,0,0,1\n");
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 60 }), (parts) => {
        try {
          expect(parseTrace(parts.join("")).steps.length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
        }
      }),
    );
  });
});

describe("packed", () => {
  const trace = parseTrace("0,0,0,0,0,3\n0,0,0,0,1,9\n0,1,1,0,0,16\n0,1,1,0,1,4\n0,1,1,1,0,31\n0,1,1,1,1,5");

  test("and unpacked it is the same", () => {
    const text = packTrace(trace, 40, ["about"]);
    expect(text).toBe(`${PACKED_MARK}\n# layers 2\n# topK 2\n# experts 40\n# about\n0,0,0:0309.\n0,1,1:10041f05\n`);
    expect(unpackTrace(text)).toEqual({ trace, numExperts: 40 });
  });

  const head = `${PACKED_MARK}\n# layers 2\n# topK 1\n# experts 8\n`;
  test.each([
    ["another file", "0,1,0:00", /first line/],
    ["no layers", `${PACKED_MARK}\n# topK 1\n# experts 8\n0,1,0:00`, /# layers N/],
    ["a count out of range", `${PACKED_MARK}\n# layers 99999\n# topK 1\n# experts 8\n0,1,0:00`, /# layers N/],
    ["a layer too few", `${head}0,1,0:01`, /line 5/],
    ["half an expert", `${head}0,1,0:010`, /line 5/],
    ["a letter too many", `${head}0,1,0:01g2`, /line 5/],
    ["no step", `${head}0,1:0102`, /line 5/],
    ["an expert that is none", `${head}0,1,0:0108`, /below 8, got 8/],
    ["no steps", head, /there are none/],
  ])("refuses %s", (_, text, message) => {
    expect(() => unpackTrace(text)).toThrow(FormatError);
    expect(() => unpackTrace(text)).toThrow(message);
  });
});
