/** The last steps as a strip: how warm they ran, where their time went, and a slider to look back at one of them. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { AppState } from "../app-state.ts";
import { duration } from "../format.ts";
import { useStore } from "../use-store.ts";
import {
  barScale,
  columnWidth,
  drawHistory,
  type HistoryColours,
  PICTURE_HEIGHT,
  shareOfWidth,
} from "./history-picture.ts";
import { countsOf, type History, sentenceOf } from "./step-history.ts";
import { meanTimes, TIME_PARTS, timesText } from "./time-parts.ts";

export function StepStrip({ app }: { app: AppState }) {
  const history = useStore(app.history);
  const { steps, at } = history;
  const shown = steps[at ?? steps.length - 1];
  return (
    <section class="strip" aria-labelledby="strip-title">
      <div class="strip-head">
        <h2 id="strip-title">Token by token</h2>
        <button
          id="history-follow"
          type="button"
          class="quiet small"
          disabled={at === null}
          onClick={() => app.history.lookAt(null)}
        >
          Follow
        </button>
      </div>
      <Strip history={history} pick={(index) => app.history.lookAt(index)} />
      <label class="visually-hidden" for="history-range">
        Look back at a token
      </label>
      <input
        id="history-range"
        type="range"
        min={0}
        max={Math.max(1, steps.length - 1)}
        step={1}
        value={at ?? Math.max(1, steps.length - 1)}
        disabled={steps.length < 2}
        style={{ width: `${100 * shareOfWidth(steps.length)}%` }}
        aria-valuetext={shown ? sentenceOf(shown) : "No token yet"}
        onInput={(event) => app.history.lookAt(event.currentTarget.valueAsNumber)}
      />
      <ul class="legend times" aria-label="Where the time went">
        {TIME_PARTS.map(({ label, style }) => (
          <li key={style}>
            <i class={`swatch time ${style}`} />
            {label}
          </li>
        ))}
      </ul>
      <p id="history-step" class="hint">
        {shown
          ? sentenceOf(shown)
          : "What each token chose and what it waited for is shown here while the model writes."}
      </p>
      <p id="history-times" class="hint figures">
        {shown ? timesText(shown.ms, shown.times) : ""}
      </p>
    </section>
  );
}

function Strip({ history, pick }: { history: History; pick: (index: number) => void }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, measure] = useState(0);
  const [theme, retheme] = useState(0);
  useEffect(() => {
    const parent = canvas.current?.parentElement;
    if (!parent) return;
    const resized = new ResizeObserver(() => measure(parent.clientWidth));
    resized.observe(parent);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => retheme((count) => count + 1);
    dark.addEventListener("change", changed);
    return () => {
      resized.disconnect();
      dark.removeEventListener("change", changed);
    };
  }, []);
  const { steps, at } = history;
  useEffect(() => {
    const frame = requestAnimationFrame(() => canvas.current && draw(canvas.current, width, history));
    return () => cancelAnimationFrame(frame);
  }, [width, theme, history]);
  return (
    <div class="strip-picture">
      <canvas
        id="history-canvas"
        ref={canvas}
        role="img"
        aria-label={summaryOf(history)}
        onClick={(event) => {
          const index = Math.floor(event.offsetX / columnWidth(width, steps.length));
          if (steps[index]) pick(index);
        }}
      />
      <span class="strip-scale figures" aria-hidden="true">
        {steps.length > 0 ? duration(barScale(steps)) : ""}
      </span>
      {at === null && steps.length === 0 && <span class="strip-empty hint">no token yet</span>}
    </div>
  );
}

function draw(canvas: HTMLCanvasElement, width: number, { steps, at }: History): void {
  const context = canvas.getContext("2d");
  if (!context || width === 0) return;
  const scale = window.devicePixelRatio || 1;
  const [across, down] = [Math.round(width * scale), Math.round(PICTURE_HEIGHT * scale)];
  if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
  canvas.style.width = `${width}px`;
  canvas.style.height = `${PICTURE_HEIGHT}px`;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  drawHistory(context, width, steps, at, coloursOf(canvas));
}

function coloursOf(canvas: HTMLCanvasElement): HistoryColours {
  const style = getComputedStyle(canvas);
  const colour = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    calm: colour("resident"),
    hot: colour("fetched"),
    ground: colour("rule"),
    cursor: colour("chosen"),
    parts: TIME_PARTS.map((part) => colour(`time-${part.style}`)),
  };
}

/** The picture in words. */
function summaryOf({ steps }: History): string {
  const mean = meanTimes(steps);
  if (!mean) return steps.length > 0 ? steps.map(sentenceOf).join(" ") : "No token was written yet.";
  const sum = { chosen: 0, fetched: 0, evicted: 0 };
  for (const step of steps.filter(({ phase }) => phase === "decode")) {
    const counts = countsOf(step);
    sum.chosen += counts.chosen;
    sum.fetched += counts.fetched;
    sum.evicted += counts.evicted;
  }
  return (
    `The last ${mean.tokens} tokens: ${sum.chosen} experts chosen, ${sum.fetched} fetched, ${sum.evicted} evicted; ` +
    `a token took ${timesText(mean.ms, mean.times)}.`
  );
}
