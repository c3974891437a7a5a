/** Runs side by side: curves over each other, settings that differ, how far each got, what the verdicts say. */
import { Button, useComputedColorScheme } from "@mantine/core";
import { useMemo, useState } from "react";
import { Link, useSearchParams } from "react-router";

import { useCompareRunsQuery, useGetMetricsQuery } from "../api";
import type { Comparison, Interval } from "../api/types";
import { SeriesChart } from "../components/charts/SeriesChart";
import type { ChartLine } from "../components/charts/uplotAdapter";
import { Pending } from "../components/Pending";
import { CHARTS } from "../components/run/chartCatalogue";
import { EmptyState } from "../components/ui/EmptyState";
import { IconCompare } from "../components/ui/icons";
import { StateChip } from "../components/ui/StateChip";
import { DASH, learningRate, signed, usd, value } from "../lib/format";
import { seriesFromBuckets } from "../lib/series";
import { strings } from "../strings";
import classes from "./ComparePage.module.css";
import page from "./page.module.css";

const METRICS = ["loss", "reverse_kl", "completion_tokens/mean", "entropy", "eos_share", "tokens_per_s"];
const NUM_POINTS = 1000;
const MAX_RUNS = 8;

const color = (at: number) => `var(--chart-${(at % MAX_RUNS) + 1})`;

export function ComparePage() {
  const [params] = useSearchParams();
  const ids = (params.get("ids") ?? "").split(",").filter(Boolean).slice(0, MAX_RUNS);
  const { currentData, error, refetch } = useCompareRunsQuery({ ids: ids.join(",") }, { skip: ids.length < 2 });
  if (ids.length < 2) {
    return (
      <EmptyState title={strings.compare.tooFew} hint={strings.compare.tooFewHint} icon={<IconCompare size={24} />}>
        <Button component={Link} to="/runs">
          {strings.compare.back}
        </Button>
      </EmptyState>
    );
  }
  if (!currentData) return <Pending error={error} onRetry={refetch} />;
  return (
    <div className={page.page}>
      <div className={page.head}>
        <h1>{strings.compare.title}</h1>
        <div className={page.aside}>
          <Button size="sm" variant="default" component={Link} to="/runs">
            {strings.compare.back}
          </Button>
        </div>
      </div>
      <Runs data={currentData} ids={ids} />
      <h2 className={page.heading}>{strings.compare.overlay}</h2>
      <Overlay data={currentData} ids={ids} />
      <h2 className={page.heading}>{strings.compare.config}</h2>
      <Differences data={currentData} ids={ids} />
      <h2 className={page.heading}>{strings.compare.metrics}</h2>
      <Ends data={currentData} ids={ids} />
    </div>
  );
}

interface Props {
  data: Comparison;
  ids: string[];
}

/** The colour of a run's curves. */
function Swatch({ at }: { at: number }) {
  return <span className={classes.swatch} style={{ background: color(at) }} />;
}

function nameOf(data: Comparison, id: string): string {
  return data.runs.find((run) => run.run_id === id)?.name ?? id;
}

/** What each run gained and what that cost: the largest gain first, as the server ranks them. */
function Runs({ data, ids }: Props) {
  const words = strings.compare;
  return (
    <div className={`${page.card} ${page.scrollX}`}>
      <table className={page.table}>
        <thead>
          <tr>
            <th scope="col">{words.run}</th>
            <th scope="col" className={page.right}>
              {words.gained}
            </th>
            <th scope="col" className={page.right}>
              {words.overImitation}
            </th>
            <th scope="col" className={page.right}>
              {words.spent}
            </th>
            <th scope="col" className={page.right} title={words.perPointHelp}>
              {words.perPoint}
            </th>
            <th scope="col">{words.verdict}</th>
          </tr>
        </thead>
        <tbody>
          {data.outcomes.map((outcome) => {
            const id = outcome.run_id;
            const run = data.runs.find((found) => found.run_id === id);
            const metric = outcome.metric && (strings.metric[outcome.metric]?.name ?? outcome.metric).toLowerCase();
            return (
              <tr key={id}>
                <td>
                  <div className={classes.named}>
                    <Swatch at={ids.indexOf(id)} />
                    <div>
                      <Link to={`/opd/${id}`} className={page.nameLink}>
                        {nameOf(data, id)}
                      </Link>
                      <span className={page.sub}>{id}</span>
                    </div>
                  </div>
                </td>
                <td className={page.right}>
                  <Gap gap={outcome.gain_points} />
                  {metric && <span className={page.sub}>{words.pointsOf(metric)}</span>}
                </td>
                <td className={page.right}>
                  <Gap gap={outcome.gain_over_sft_points} />
                </td>
                <td className={page.right}>{usd(outcome.spent_usd)}</td>
                <td className={page.right}>{outcome.spent_usd ? usd(outcome.usd_per_point) : DASH}</td>
                <td className={classes.verdict}>
                  {run && <StateChip state={run.state} />}
                  <span className={page.sub}>{outcome.headline || words.none}</span>
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

const points = (number: number) => signed(number.toFixed(1), number);

/** Points with their 95 % interval. */
function Gap({ gap }: { gap: Interval | null }) {
  if (!gap) return <span className="faint">{DASH}</span>;
  return (
    <>
      {points(gap.mean)}
      <span className={page.sub}>{strings.compare.interval(points(gap.low), points(gap.high))}</span>
    </>
  );
}

function Overlay({ data, ids }: Props) {
  const scheme = useComputedColorScheme("light");
  const [range, setRange] = useState<[number, number] | null>(null);
  // A hook for each of at most eight runs; those that are not there are skipped.
  const answers = [
    useRunMetrics(ids[0]),
    useRunMetrics(ids[1]),
    useRunMetrics(ids[2]),
    useRunMetrics(ids[3]),
    useRunMetrics(ids[4]),
    useRunMetrics(ids[5]),
    useRunMetrics(ids[6]),
    useRunMetrics(ids[7]),
  ];
  const known = answers.map((answer) => answer.currentData);
  const charts = useMemo(
    () =>
      METRICS.flatMap((metric) => {
        const spec = CHARTS.find((chart) => chart.lines.some((line) => line.metric === metric));
        const lines = ids.flatMap((id, at): ChartLine[] => {
          const buckets = known[at]?.series[metric];
          if (!buckets?.length) return [];
          return [{ id, label: nameOf(data, id), color: color(at), series: seriesFromBuckets(buckets) }];
        });
        return spec && lines.length > 0 ? [{ spec, metric, lines }] : [];
      }),
    // oxlint-disable-next-line react-hooks/exhaustive-deps -- the answers themselves, not the array made of them
    [data, ids.join(), ...known],
  );
  return (
    <div className={classes.charts}>
      {charts.map(({ spec, metric, lines }) => (
        <SeriesChart
          key={metric}
          title={spec.title}
          unit={spec.unit}
          help={spec.help}
          format={spec.format}
          lines={lines}
          smoothing={0.85}
          log={false}
          xAxis="step"
          range={range}
          height={200}
          syncKey="compare"
          scheme={scheme}
          expanded={false}
          onRange={setRange}
        />
      ))}
    </div>
  );
}

function useRunMetrics(runId: string | undefined) {
  return useGetMetricsQuery({ runId: runId ?? "", maxPoints: NUM_POINTS }, { skip: !runId });
}

function Differences({ data, ids }: Props) {
  if (data.config.length === 0) return <p className="dim">{strings.compare.same}</p>;
  return (
    <div className={`${page.card} ${page.scrollX}`}>
      <table className={page.table}>
        <Head first={strings.compare.setting} data={data} ids={ids} />
        <tbody>
          {data.config.map((difference) => (
            <tr key={difference.path}>
              <td className="mono">{difference.path}</td>
              {ids.map((id) => (
                <td key={id} className="mono num">
                  {show(difference.values[id])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Ends({ data, ids }: Props) {
  const shown = data.metrics.filter((metric) => !metric.name.includes("@") && !metric.name.startsWith("time/"));
  return (
    <div className={`${page.card} ${page.scrollX}`}>
      <table className={`${page.table} num`}>
        <Head first={strings.compare.metric} data={data} ids={ids} />
        <tbody>
          {shown.map((metric) => (
            <tr key={metric.name}>
              <td className="mono">{metric.name}</td>
              {ids.map((id) => {
                const ends = metric.runs[id];
                return (
                  <td key={id}>
                    {value(ends?.last)}
                    {ends?.best != null && (
                      <span className={page.sub}>
                        {strings.compare.best} {value(ends.best)}, {strings.chart.step(String(ends.best_step))}
                      </span>
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Head({ first, data, ids }: Props & { first: string }) {
  return (
    <thead>
      <tr>
        <th scope="col">{first}</th>
        {ids.map((id, at) => (
          <th key={id} scope="col">
            <div className={classes.named}>
              <Swatch at={at} />
              {nameOf(data, id)}
            </div>
          </th>
        ))}
      </tr>
    </thead>
  );
}

function show(found: unknown): string {
  if (found === null || found === undefined || found === "") return DASH;
  if (typeof found === "number" && found !== 0 && Math.abs(found) < 0.001) return learningRate(found);
  return typeof found === "object" ? JSON.stringify(found) : String(found);
}
