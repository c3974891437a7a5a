/** All charts of a run: one cursor, one zoom, one smoothing for all of them. */
import { Button, SegmentedControl, Slider, Switch, useComputedColorScheme } from "@mantine/core";
import { useMemo, useState } from "react";

import { useGetMetricsQuery } from "../../api";
import { type Series, seriesFromBuckets, slice } from "../../lib/series";
import type { RunView } from "../../store/slices/opdSlice";
import { strings } from "../../strings";
import { SeriesChart } from "../charts/SeriesChart";
import type { ChartLine, XAxis } from "../charts/uplotAdapter";
import { readPreference, writePreference } from "../preferences";
import { type ChartSpec, chartsFor, type Stage } from "./chartCatalogue";
import { isOver } from "./derive";
import classes from "./ChartGrid.module.css";

const DEFAULT_SMOOTHING = 0.8;
const HEIGHT = 158;
const EXPANDED_HEIGHT = 400;
const ZOOM_POINTS = 2000;

interface Axis {
  value: XAxis;
  label: string;
  /** The metric that counts along it; without one that the run logs, the axis is not offered. */
  ruler?: string;
}

const STEPS: Axis = { value: "step", label: strings.charts.byStep };
const AXES: Axis[] = [
  STEPS,
  { value: "minutes", label: strings.charts.byMinutes },
  { value: "tokens", label: strings.charts.byTokens, ruler: "num_tokens" },
  { value: "dollars", label: strings.charts.byDollars, ruler: "spent_usd" },
];

export function ChartGrid({ view }: { view: RunView }) {
  const scheme = useComputedColorScheme("light");
  const [smoothing, setSmoothing] = useState(() => Number(readPreference("smoothing") ?? DEFAULT_SMOOTHING));
  const [log, setLog] = useState(false);
  const [showAll, setShowAll] = useState(false);
  const [xAxis, setXAxis] = useState<XAxis>("step");
  const [range, setRange] = useState<[number, number] | null>(null);
  const [expanded, setExpanded] = useState<string | null>(null);
  const [wantedStage, setWantedStage] = useState<Stage | null>(null);

  const names = Object.keys(view.series).toSorted().join("\n");
  const stages = useMemo(() => stagesOf(names), [names]);
  const stage = wantedStage ?? stageOf(view, stages);
  const axes = AXES.filter(({ ruler }) => !ruler || (stage === "distillation" && view.series[ruler]));
  const axis = axes.find(({ value }) => value === xAxis) ?? STEPS;
  const charts = useMemo(() => chartsFor(names ? names.split("\n") : [], stage), [names, stage]);
  const shown = charts.filter((chart) => (expanded ? chart.id === expanded : showAll || chart.isKey));
  const series = useZoomed(view, axis === STEPS ? range : null);

  if (charts.length === 0) return <p className={classes.chartsEmpty}>{isOver(view.state) ? strings.charts.none : strings.charts.waiting}</p>;
  return (
    <section aria-label={strings.charts.title}>
      <div className={classes.toolbar}>
        {stages.length > 1 && (
          <div className={classes.stages}>
            <SegmentedControl
              size="xs"
              value={stage}
              aria-label={strings.charts.title}
              data={stages.map((name) => ({ value: name, label: STAGE_NAMES[name] }))}
              onChange={(value) => {
                setWantedStage(value as Stage);
                setExpanded(null);
                setRange(null);
              }}
            />
          </div>
        )}
        <SegmentedControl
          size="xs"
          value={showAll ? "all" : "key"}
          aria-label={strings.charts.which}
          data={[
            { value: "key", label: strings.charts.key },
            { value: "all", label: strings.charts.all },
          ]}
          onChange={(value) => setShowAll(value === "all")}
        />
        <SegmentedControl
          size="xs"
          value={axis.value}
          aria-label={strings.charts.axis}
          data={axes.map(({ value, label }) => ({ value, label }))}
          onChange={(value) => {
            setXAxis(value as XAxis);
            setRange(null);
          }}
        />
        <Switch size="xs" label={strings.charts.log} checked={log} onChange={(event) => setLog(event.currentTarget.checked)} />
        <div className={classes.smoothing} title={strings.charts.smoothingHelp}>
          <span>{strings.charts.smoothing}</span>
          <Slider
            size="xs"
            w={64}
            min={0}
            max={0.98}
            step={0.02}
            label={(value) => value.toFixed(2)}
            thumbLabel={strings.charts.smoothing}
            value={smoothing}
            onChange={setSmoothing}
            onChangeEnd={(value) => writePreference("smoothing", String(value))}
          />
        </div>
        {range && (
          <Button size="compact-xs" variant="light" onClick={() => setRange(null)}>
            {strings.charts.reset}
          </Button>
        )}
      </div>
      {stage === "baseline" && <p className={classes.explain}>{strings.charts.baselineStage}</p>}
      <div className={classes.charts} data-expanded={expanded !== null || undefined}>
        {shown.map((chart) => (
          <OneChart
            key={chart.id}
            chart={chart}
            series={series}
            smoothing={smoothing}
            log={log}
            xAxis={axis.value}
            ruler={axis.ruler ? view.series[axis.ruler] : undefined}
            range={range}
            height={expanded ? EXPANDED_HEIGHT : HEIGHT}
            scheme={scheme}
            expanded={expanded !== null}
            onRange={setRange}
            onExpand={() => setExpanded(expanded ? null : chart.id)}
          />
        ))}
      </div>
    </section>
  );
}

interface OneProps {
  chart: ChartSpec;
  series: Record<string, Series>;
  smoothing: number;
  log: boolean;
  xAxis: XAxis;
  ruler: Series | undefined;
  range: [number, number] | null;
  height: number;
  scheme: string;
  expanded: boolean;
  onRange: (range: [number, number] | null) => void;
  onExpand: () => void;
}

function OneChart({ chart, series, ruler, ...rest }: OneProps) {
  const own = chart.lines.map((line) => series[line.metric]);
  const lines = useMemo(
    () =>
      chart.lines.flatMap((line, at): ChartLine[] => {
        const found = own[at];
        return found ? [{ id: line.metric, label: line.label, color: line.color, dash: line.dash, series: found, ruler }] : [];
      }),
    // oxlint-disable-next-line react-hooks/exhaustive-deps -- the series themselves, not the array made of them
    [chart, ruler, ...own],
  );
  return (
    <SeriesChart
      {...rest}
      title={chart.title}
      unit={chart.unit}
      help={chart.help}
      format={chart.format}
      lines={lines}
      syncKey="run"
    />
  );
}

/** Zoomed into a long run, buckets are too coarse: the server makes finer ones of the same steps. */
function useZoomed(view: RunView, range: [number, number] | null): Record<string, Series> {
  const isCoarse =
    range !== null &&
    Object.values(view.series).some((series) => {
      const part = slice(series, range[0], range[1]);
      return part.first.some((first, at) => first !== part.last[at]);
    });
  const { currentData } = useGetMetricsQuery(
    {
      runId: view.runId,
      from: Math.max(0, Math.floor(range?.[0] ?? 0)),
      to: Math.ceil(range?.[1] ?? 0),
      maxPoints: ZOOM_POINTS,
    },
    { skip: !isCoarse },
  );
  return useMemo(() => {
    if (!isCoarse || !currentData) return view.series;
    const finer = Object.entries(currentData.series).map(([name, buckets]) => [name, seriesFromBuckets(buckets)] as const);
    return { ...view.series, ...Object.fromEntries(finer) };
  }, [isCoarse, currentData, view.series]);
}

const STAGE_NAMES: Record<Stage, string> = {
  distillation: strings.phase.distilling?.name ?? "",
  baseline: strings.phase.baseline?.name ?? "",
  warm_start: strings.phase.warm_start?.name ?? "",
};

function stagesOf(names: string): Stage[] {
  const has = (prefix: string) => names.split("\n").some((name) => name.startsWith(prefix));
  const plain = names.split("\n").some((name) => name !== "" && !/^(warm_start|baseline)\//.test(name));
  return [
    ...(has("baseline/") ? (["baseline"] as const) : []),
    ...(has("warm_start/") ? (["warm_start"] as const) : []),
    ...(plain ? (["distillation"] as const) : []),
  ];
}

/** The stage that is going on while it has curves, else the student's own. */
function stageOf(view: RunView, stages: Stage[]): Stage {
  const now = view.summary.phase;
  if ((now === "baseline" || now === "warm_start") && stages.includes(now)) return now;
  return stages.includes("distillation") ? "distillation" : (stages[0] ?? "distillation");
}
