/**
 * The one file that knows uPlot. In: lines of min/max buckets and how to show them. Out: a live canvas in an element.
 *
 * Each line is drawn as a band between minimum and maximum, a raw ghost, and its smoothed course. Nothing here knows
 * runs, events or React; another chart library would replace this file alone.
 */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { bucketed, readAt, type Series, slice, smoothed } from "../../lib/series";

/** Where the plot begins, in pixels from the top of its canvas: below the unit. */
export const PLOT_TOP = 20;

/** tokens and dollars are read from each line's `ruler`. */
export type XAxis = "step" | "minutes" | "tokens" | "dollars";

export interface ChartLine {
  id: string;
  label: string;
  /** A CSS colour or `var(--…)`. */
  color: string;
  dash?: number[];
  series: Series;
  /** What the axis counts, by step; needed for tokens and dollars. */
  ruler?: Series;
}

export interface ChartView {
  lines: ChartLine[];
  /** 0..1, the share of the past in the moving average; 0 shows the raw course only. */
  smoothing: number;
  log: boolean;
  xAxis: XAxis;
  /** What is shown, in the axis' unit; null is everything. */
  range: [number, number] | null;
  /** "light" or "dark": colours are read anew when it changes. */
  scheme: string;
  format: (value: number | null | undefined) => string;
}

/** What is under the cursor: the x value and, for each line, its course there (smoothed where smoothing is on). */
export interface Readout {
  x: number;
  values: (number | null)[];
  raw: (number | null)[];
}

export interface ChartHooks {
  onReadout: (readout: Readout | null) => void;
  onRange: (range: [number, number] | null) => void;
}

const COLUMNS_PER_LINE = 4; // low, high, raw, smoothed

export class SeriesPlot {
  private plot: uPlot | null = null;
  private view: ChartView;
  private shape = "";
  /** By line: some of its buckets hold more than one step, so that their extremes are no points of the raw course. */
  private isMerged: boolean[] = [];
  private readonly observer: ResizeObserver;

  constructor(
    private readonly element: HTMLElement,
    private readonly hooks: ChartHooks,
    private readonly syncKey: string,
    view: ChartView,
  ) {
    this.view = view;
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(element);
    this.rebuild();
  }

  /** Shows another view; the canvas is kept unless lines, colours or scales change. */
  update(view: ChartView): void {
    this.view = view;
    if (shapeOf(view) !== this.shape) this.rebuild();
    else this.plot?.setData(this.columns(), true);
  }

  private rebuild(): void {
    this.plot?.destroy();
    this.shape = shapeOf(this.view);
    this.plot = new uPlot(this.options(), this.columns(), this.element);
    this.plot.over.addEventListener("dblclick", () => this.hooks.onRange(null));
  }

  /** Moves the cursor by a number of points, or to an end; answers what is under it. */
  moveCursor(by: number | "start" | "end"): Readout | null {
    const plot = this.plot;
    const xs = plot?.data[0];
    if (!plot || !xs?.length) return null;
    const [from, to] = visible(plot);
    const now = plot.cursor.idx ?? (by === "start" ? from : to);
    const wanted = by === "start" ? from : by === "end" ? to : Math.min(to, Math.max(from, now + by));
    const left = plot.valToPos(xs[wanted] ?? 0, "x");
    plot.setCursor({ left, top: plot.bbox.height / (2 * devicePixelRatio) });
    return this.readoutAt(wanted);
  }

  /** The picture as it is, on the theme's surface, with a title. */
  async toPng(title: string): Promise<Blob | null> {
    const source = this.plot?.ctx.canvas;
    if (!source) return null;
    const bar = 32 * devicePixelRatio;
    const canvas = document.createElement("canvas");
    canvas.width = source.width;
    canvas.height = source.height + bar;
    const context = canvas.getContext("2d");
    if (!context) return null;
    context.fillStyle = resolveColor(this.element, "var(--surface)");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = resolveColor(this.element, "var(--text)");
    context.font = `600 ${14 * devicePixelRatio}px "Inter Variable", sans-serif`;
    context.fillText(title, 12 * devicePixelRatio, 21 * devicePixelRatio);
    context.drawImage(source, 0, bar);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  destroy(): void {
    this.observer.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  private resize(): void {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!this.plot || width < 20 || height < 20) return;
    if (this.plot.width !== width || this.plot.height !== height) this.plot.setSize({ width, height });
  }

  private columns(): uPlot.AlignedData {
    const { lines, range, smoothing, xAxis } = this.view;
    const budget = Math.max(400, 2 * this.element.clientWidth);
    this.isMerged = [];
    const tables = lines.map((line): uPlot.AlignedData => {
      const start = line.series.time[0] ?? 0;
      const window = range && xAxis === "step" ? slice(line.series, range[0], range[1]) : line.series;
      const series = bucketed(window, budget);
      this.isMerged.push(series.num.some((num) => num > 1));
      const xs = xAxis === "minutes" ? series.time.map((time) => (time - start) / 60) : along(line, series, xAxis);
      return [xs, series.min, series.max, series.mean, smoothed(series.mean, smoothing)];
    });
    const [only] = tables;
    if (!only) return [[]];
    return tables.length === 1 ? only : uPlot.join(tables);
  }

  private readoutAt(index: number): Readout | null {
    const data = this.plot?.data;
    const x = data?.[0]?.[index];
    if (!data || x === undefined) return null;
    const at = (line: number, column: number) => data[1 + line * COLUMNS_PER_LINE + column]?.[index] ?? null;
    return {
      x,
      values: this.view.lines.map((_, line) => at(line, 3)),
      raw: this.view.lines.map((_, line) => at(line, 2)),
    };
  }

  private options(): uPlot.Options {
    const { lines, log, xAxis, range, smoothing } = this.view;
    const color = (name: string) => resolveColor(this.element, name);
    const axis = {
      stroke: color("var(--text-faint)"),
      font: '11px "Inter Variable", sans-serif',
      grid: { stroke: color("var(--line)"), width: 1 },
      ticks: { show: false },
    };
    const series: uPlot.Series[] = [{}];
    const bands: uPlot.Band[] = [];
    /** Colour of the cursor's mark by column: only the course that is read out has one. */
    const marks: string[] = [];
    lines.forEach((line, at) => {
      const stroke = color(line.color);
      const first = 1 + at * COLUMNS_PER_LINE;
      marks[first + (smoothing > 0 ? 3 : 2)] = stroke;
      const dash = line.dash ? { dash: line.dash } : {};
      // A band one bucket wide is thinner than a pixel: only with an edge does a spike of one step stay visible.
      const edge = withAlpha(stroke, 0.6);
      const extreme = { stroke: () => (this.isMerged[at] ? edge : "transparent"), width: 1, points: { show: false } };
      series.push(
        extreme,
        extreme,
        { stroke: withAlpha(stroke, smoothing > 0 ? 0.34 : 1), width: smoothing > 0 ? 1 : 1.75, ...dash, points: points(stroke, smoothing > 0) },
        { stroke, width: 2, ...dash, show: smoothing > 0, points: { show: false } },
      );
      bands.push({ series: [first + 1, first], fill: withAlpha(stroke, 0.16) });
    });
    return {
      width: Math.max(20, this.element.clientWidth),
      height: Math.max(20, this.element.clientHeight),
      padding: [PLOT_TOP, 12, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: false, range: (_, low, high) => range ?? padded(low, high) },
        y: log
          ? { distr: 3, log: 10, range: (_, low, high) => logRange(low, high) }
          : { range: (_, low, high) => linearRange(low, high) },
      },
      axes: [
        {
          ...axis,
          size: 26,
          gap: 4,
          space: 56,
          incrs: xAxis === "step" ? STEP_INCREMENTS : undefined,
          values: (_, splits) => splits.map((at) => AXIS_VALUES[xAxis](at)),
        },
        { ...axis, size: 50, gap: 6, space: 34, values: (_, splits) => splits.map((at) => axisValue(at)) },
      ],
      cursor: {
        sync: { key: this.syncKey, setSeries: false },
        y: false,
        drag: { x: true, y: false, setScale: false },
        points: { size: 7, width: 0, stroke: "transparent", fill: (_, at) => marks[at] ?? "transparent" },
      },
      series,
      bands,
      hooks: {
        setCursor: [(plot) => this.hooks.onReadout(plot.cursor.idx == null ? null : this.readoutAt(plot.cursor.idx))],
        setSelect: [(plot) => this.selected(plot)],
      },
    };
  }

  private selected(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 4) return;
    const range: [number, number] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.hooks.onRange(range);
  }
}

const STEP_INCREMENTS = [1, 2, 5].flatMap((lead) => [0, 1, 2, 3, 4, 5, 6].map((power) => lead * 10 ** power)).toSorted((a, b) => a - b);

const AXIS_VALUES: Record<XAxis, (at: number) => string> = {
  step: shortStep,
  minutes: (at) => `${round(at)} min`,
  tokens: shortStep,
  dollars: (at) => `$${axisValue(at)}`,
};

/** x of each bucket. uPlot wants them to grow: where nothing was added (no dollars in a step) a trifle is. */
function along(line: ChartLine, series: Series, xAxis: XAxis): number[] {
  if (xAxis === "step" || !line.ruler) return series.last;
  const xs = readAt(line.ruler, series.last);
  const trifle = Math.max(1e-12, (xs.at(-1) ?? 0) * 1e-9);
  for (let at = 1; at < xs.length; at += 1) xs[at] = Math.max(xs[at] ?? 0, (xs[at - 1] ?? 0) + trifle);
  return xs;
}

function shapeOf(view: ChartView): string {
  const lines = view.lines.map((line) => `${line.id} ${line.color} ${line.dash?.join() ?? ""}`);
  return JSON.stringify([lines, view.log, view.xAxis, view.range, view.scheme, view.smoothing > 0]);
}

function visible(plot: uPlot): [number, number] {
  const xs = plot.data[0];
  const { min = 0, max = 0 } = plot.scales.x ?? {};
  let from = 0;
  let to = xs.length - 1;
  while (from < to && (xs[from] ?? 0) < (min ?? 0)) from += 1;
  while (to > from && (xs[to] ?? 0) > (max ?? 0)) to -= 1;
  return [from, to];
}

/** Points are drawn while there are few enough to tell apart; a lone point would be invisible otherwise. */
function points(stroke: string, ghost: boolean): uPlot.Series.Points {
  return {
    size: ghost ? 3 : 5,
    width: 0,
    fill: ghost ? withAlpha(stroke, 0.5) : stroke,
    show: (plot: uPlot) => plot.data[0].length < 24,
  };
}

function padded(low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null) return [0, 10];
  return low === high ? [Math.max(0, low - 1), high + 1] : [low, high];
}

function linearRange(low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null) return [0, 1];
  // Averages of one value differ in their last digits.
  if (high - low <= 1e-9 * Math.abs(high)) return low === 0 ? [0, 1] : low > 0 ? [0, low * 1.25] : [low * 1.25, 0];
  const pad = (high - low) * 0.08;
  // A curve of positive values that comes near zero is read against zero.
  const floor = low >= 0 && low - pad < (high - low) * 0.25 ? 0 : low - pad;
  return [floor, high + pad];
}

function logRange(low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null || high <= 0) return [0.1, 10];
  const floor = low > 0 ? low : high / 1000;
  return [floor / 1.15, high * 1.15];
}

function shortStep(at: number): string {
  if (at >= 1e6) return `${round(at / 1e6)}M`;
  return at >= 10_000 ? `${round(at / 1e3)}k` : String(at);
}

function axisValue(at: number | null): string {
  if (at === null) return "";
  const size = Math.abs(at);
  if (size >= 10_000) return shortStep(at);
  if (size !== 0 && size < 0.001) return at.toExponential(0).replace("e+", "e");
  return String(Number(at.toPrecision(4)));
}

function round(number: number): string {
  return String(Number(number.toFixed(2)));
}

/** A canvas understands neither `var()` nor `color-mix()`: the browser resolves them. */
function resolveColor(element: HTMLElement, color: string): string {
  const name = /^var\((--[\w-]+)\)$/.exec(color)?.[1];
  return (name ? getComputedStyle(element).getPropertyValue(name).trim() : color) || "#888888";
}

function withAlpha(hex: string, alpha: number): string {
  const channels = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(hex);
  if (!channels) return hex;
  const [red, green, blue] = channels.slice(1).map((part) => Number.parseInt(part, 16));
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}
