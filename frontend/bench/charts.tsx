/**
 * Measures the page's own chart in the browser that shows it, and sends what it measured to the script that opened it.
 *
 * 100,000 points with one step a hundred times as high. Two ways in: every point by itself (the worst that the chart
 * can be handed), and through the live path, where the page keeps at most 2,000 buckets. From the call that changes
 * the chart until the frame after the one that paints it.
 */
import "@mantine/core/styles.layer.css";
import "../src/theme/tokens.css";
import "../src/theme/base.css";

import { MantineProvider } from "@mantine/core";
import { createRoot } from "react-dom/client";
import { flushSync } from "react-dom";

import { SeriesChart } from "../src/components/charts/SeriesChart";
import { PLOT_TOP } from "../src/components/charts/uplotAdapter";
import { appendPoint, emptySeries, type Series } from "../src/lib/series";
import { theme } from "../src/theme/theme";

const NUM_POINTS = 100_000;
const SPIKE_AT = 61_803;
const SPIKE = 100;
const NUM_UPDATES = 40;

interface Measured {
  name: string;
  mount_ms: number;
  update_ms: number;
  worst_update_ms: number;
  spike_is_drawn: boolean;
}

/** A reproducible course between 0.5 and 1.5: the generator of Numerical Recipes, 32 bits. */
function course(): (step: number) => number {
  let state = 2463534242;
  return (step) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return step === SPIKE_AT ? SPIKE : 0.5 + state / 2 ** 32;
  };
}

function everyPoint(value: (step: number) => number): Series {
  const series = emptySeries();
  for (let step = 1; step <= NUM_POINTS; step += 1) appendPoint(series, step, step, value(step), Number.POSITIVE_INFINITY);
  return series;
}

function livePath(value: (step: number) => number): Series {
  const series = emptySeries();
  for (let step = 1; step <= NUM_POINTS; step += 1) appendPoint(series, step, step, value(step));
  return series;
}

const painted = () =>
  new Promise<void>((resolve) => {
    requestAnimationFrame(() => requestAnimationFrame(() => resolve()));
  });

/** Whether the canvas shows the line's colour in the upper tenth of the plot, where only the spike reaches. */
function drawsInTheUpperTenth(root: HTMLElement): boolean {
  const canvas = root.querySelector("canvas");
  const context = canvas?.getContext("2d");
  if (!canvas || !context) return false;
  const { data } = context.getImageData(70, PLOT_TOP, canvas.width - 90, Math.floor((canvas.height - PLOT_TOP) / 10));
  for (let at = 0; at < data.length; at += 4) {
    const [red = 0, green = 0, blue = 0, alpha = 0] = data.slice(at, at + 4);
    // Grid lines are grey; the line is petrol.
    if (alpha > 30 && green - red > 24 && blue - red > 24) return true;
  }
  return false;
}

async function measure(name: string, make: (value: (step: number) => number) => Series, maxBuckets: number): Promise<Measured> {
  const host = document.createElement("div");
  document.querySelector("#root")?.append(host);
  const value = course();
  const series = make(value);
  const root = createRoot(host);
  const show = () =>
    flushSync(() =>
      root.render(
        <MantineProvider theme={theme}>
          <SeriesChart
            title="Loss"
            help=""
            unit=""
            height={260}
            syncKey={name}
            expanded={false}
            onRange={() => {}}
            lines={[{ id: "loss", label: "Loss", color: "var(--chart-1)", series: { ...series } }]}
            smoothing={0.8}
            log={false}
            xAxis="step"
            range={null}
            scheme="light"
            format={String}
          />
        </MantineProvider>,
      ),
    );
  await painted();
  const began = performance.now();
  show();
  await painted();
  const mount = performance.now() - began;
  const updates: number[] = [];
  for (let at = 1; at <= NUM_UPDATES; at += 1) {
    const from = performance.now();
    appendPoint(series, NUM_POINTS + at, NUM_POINTS + at, value(NUM_POINTS + at), maxBuckets);
    show();
    // The layout is asked for, so that the browser cannot put the work off beyond what is measured.
    host.getBoundingClientRect();
    updates.push(performance.now() - from);
    await painted();
  }
  updates.sort((a, b) => a - b);
  const spike = drawsInTheUpperTenth(host);
  root.unmount();
  host.remove();
  return {
    name,
    mount_ms: mount,
    update_ms: updates[NUM_UPDATES / 2] ?? 0,
    worst_update_ms: updates.at(-1) ?? 0,
    spike_is_drawn: spike,
  };
}

const results = [
  await measure("every point by itself", everyPoint, Number.POSITIVE_INFINITY),
  await measure("live path (at most 2,000 buckets)", livePath, 2000),
];
await fetch("/result", { method: "POST", body: JSON.stringify({ results, browser: navigator.userAgent }) });
