/** One chart with its title, read-out and menu. In: lines and how to show them. Out: zoom wishes. Knows no runs. */
import { ActionIcon, Menu } from "@mantine/core";
import { type KeyboardEvent, useEffect, useRef, useState } from "react";

import { shortCount, usd } from "../../lib/format";
import { toCsv } from "../../lib/series";
import { strings } from "../../strings";
import { IconCollapse, IconDownload, IconExpand, IconMore, IconTable } from "../ui/icons";
import { saveFile } from "../ui/saveFile";
import { ChartTable } from "./ChartTable";
import classes from "./SeriesChart.module.css";
import { type ChartView, type Readout, SeriesPlot } from "./uplotAdapter";

export interface SeriesChartProps extends ChartView {
  title: string;
  /** What the curve means, for the title's tooltip and for screen readers. */
  help: string;
  unit: string;
  height: number;
  syncKey: string;
  expanded: boolean;
  onRange: (range: [number, number] | null) => void;
  onExpand?: () => void;
}

export function SeriesChart(props: SeriesChartProps) {
  const { title, help, unit, lines, format, height, syncKey, scheme, expanded, onRange, onExpand } = props;
  const { smoothing, log, xAxis, range } = props;
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<SeriesPlot | null>(null);
  const onRangeNow = useRef(onRange);
  const [readout, setReadout] = useState<Readout | null>(null);
  const [spoken, setSpoken] = useState("");
  const [tableOpen, setTableOpen] = useState(false);
  const isEmpty = lines.every((line) => line.series.first.length === 0);

  useEffect(() => {
    onRangeNow.current = onRange;
  }, [onRange]);

  const viewNow = useRef<ChartView>({ lines, smoothing, log, xAxis, range, scheme, format });
  useEffect(() => {
    if (!host.current) return;
    const made = new SeriesPlot(
      host.current,
      { onReadout: setReadout, onRange: (wanted) => onRangeNow.current(wanted) },
      syncKey,
      viewNow.current,
    );
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = null;
    };
  }, [syncKey]);

  useEffect(() => {
    viewNow.current = { lines, smoothing, log, xAxis, range, scheme, format };
    plot.current?.update(viewNow.current);
  }, [lines, smoothing, log, xAxis, range, scheme, format]);

  function onKeyDown(event: KeyboardEvent) {
    const far = event.shiftKey ? 10 : 1;
    const moves: Record<string, number | "start" | "end"> = {
      ArrowLeft: -far,
      ArrowRight: far,
      Home: "start",
      End: "end",
    };
    const move = moves[event.key];
    if (move !== undefined) {
      event.preventDefault();
      const found = plot.current?.moveCursor(move);
      if (found) setSpoken(sentence(title, found, props));
    } else if (event.key === "Escape" && range) {
      onRange(null);
    }
  }

  return (
    <figure className={classes.card} aria-label={title}>
      <figcaption className={classes.head}>
        <span className={classes.title} title={help}>
          {title}
        </span>
        <span className={`${classes.readout} num`}>{readoutOf(readout, props)}</span>
        <span className={classes.tools}>
          {onExpand && (
            <ActionIcon
              variant="subtle"
              color="gray"
              size="sm"
              aria-label={expanded ? strings.chart.collapse(title) : strings.chart.expand(title)}
              onClick={onExpand}
            >
              {expanded ? <IconCollapse /> : <IconExpand />}
            </ActionIcon>
          )}
          <Menu position="bottom-end" withinPortal>
            <Menu.Target>
              <ActionIcon variant="subtle" color="gray" size="sm" aria-label={strings.chart.menu(title)}>
                <IconMore />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item leftSection={<IconTable />} onClick={() => setTableOpen(true)}>
                {strings.chart.table}
              </Menu.Item>
              <Menu.Item
                leftSection={<IconDownload />}
                onClick={() => {
                  void plot.current?.toPng(title).then((blob) => blob && saveFile(`${slug(title)}.png`, blob));
                }}
              >
                {strings.chart.png}
              </Menu.Item>
              <Menu.Item
                leftSection={<IconDownload />}
                onClick={() => {
                  const columns = Object.fromEntries(lines.map((line) => [line.label, line.series]));
                  saveFile(`${slug(title)}.csv`, new Blob([toCsv(columns)], { type: "text/csv" }));
                }}
              >
                {strings.chart.csv}
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </span>
      </figcaption>
      <div
        className={classes.plot}
        style={{ height }}
        // A chart is operated with the arrow keys, and says where the cursor is.
        role="application"
        aria-roledescription={strings.chart.role}
        aria-label={strings.chart.keys(title)}
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- role application is interactive
        tabIndex={0}
        onKeyDown={onKeyDown}
      >
        <div ref={host} className={classes.canvas} />
        {unit && <span className={classes.unit}>{unit}</span>}
        {isEmpty && <span className={classes.empty}>{strings.chart.empty}</span>}
      </div>
      <span className="visually-hidden" aria-live="polite">
        {spoken}
      </span>
      {tableOpen && <ChartTable title={title} lines={lines} format={format} onClose={() => setTableOpen(false)} />}
    </figure>
  );
}

/** The values under the cursor, or the newest ones. */
function readoutOf(readout: Readout | null, { lines, format, xAxis, smoothing }: SeriesChartProps) {
  const shown = readout && readout.values.some((found) => found !== null) ? readout : null;
  return (
    <>
      {shown && <span className={classes.at}>{xLabel(shown.x, xAxis)}</span>}
      {lines.map((line, at) => {
        const newest = line.series.mean.at(-1);
        const found = shown ? (smoothing > 0 ? shown.values[at] : shown.raw[at]) : newest;
        return (
          <span key={line.id} className={classes.value}>
            {lines.length > 1 && (
              <span className={classes.swatch} style={{ background: line.color }} title={line.label} aria-hidden />
            )}
            {format(found)}
          </span>
        );
      })}
    </>
  );
}

function xLabel(x: number, axis: ChartView["xAxis"]): string {
  switch (axis) {
    case "minutes":
      return `${x.toFixed(1)} min`;
    case "tokens":
      return strings.chart.tokens(shortCount(Math.round(x)));
    case "dollars":
      return usd(x);
    default:
      return strings.chart.step(shortCount(Math.round(x)));
  }
}

function sentence(title: string, readout: Readout, { lines, format, xAxis }: SeriesChartProps): string {
  const values = lines.map((line, at) => {
    const text = format(readout.raw[at]);
    return lines.length > 1 ? `${line.label} ${text}` : text;
  });
  return `${title}, ${xLabel(readout.x, xAxis)}: ${values.join(", ")}`;
}

function slug(title: string): string {
  return title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "");
}
