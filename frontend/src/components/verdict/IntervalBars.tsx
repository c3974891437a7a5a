/** One metric for several models: a dot for the mean, a bar for the 95 % interval, on one scale. */
import { strings } from "../../strings";
import classes from "./verdict.module.css";

export interface IntervalRow {
  id: string;
  label: string;
  help: string;
  color: string;
  mean: number;
  low: number;
  high: number;
  num: number;
  isMain: boolean;
}

interface Props {
  title: string;
  help: string;
  rows: IntervalRow[];
  /** Ends of the scale. */
  domain: [number, number];
  format: (value: number) => string;
}

export function IntervalBars({ title, help, rows, domain, format }: Props) {
  const [from, to] = domain;
  const at = (value: number) => `${(100 * Math.min(1, Math.max(0, (value - from) / (to - from || 1)))).toFixed(2)}%`;
  return (
    <figure className={classes.bars}>
      <figcaption title={help}>{title}</figcaption>
      <ul>
        {rows.map((row) => {
          const interval = strings.verdict.interval(format(row.low), format(row.high), row.num);
          return (
            <li key={row.id} title={`${row.help}. ${interval}`} data-main={row.isMain || undefined}>
              <span className={classes.barLabel}>{row.label}</span>
              <span className={classes.barTrack} aria-hidden>
                <span
                  className={classes.barRange}
                  style={{ left: at(row.low), right: `calc(100% - ${at(row.high)})`, background: row.color }}
                />
                <span className={classes.barDot} style={{ left: at(row.mean), background: row.color }} />
              </span>
              <span className={`${classes.barValue} num`}>
                {format(row.mean)}
                <span className="visually-hidden">. {interval}</span>
              </span>
            </li>
          );
        })}
      </ul>
    </figure>
  );
}
