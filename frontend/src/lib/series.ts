/**
 * A metric's points as columns of min/max buckets: bounded, and never losing a spike.
 *
 * In: points in order of step. Out: at most `MAX_BUCKETS` buckets, each over a run of steps, with the smallest,
 * largest and mean value. A bucket of one step is that step. Knows nothing of the wire, of React or of charts.
 */

export const MAX_BUCKETS = 2000;

/** Columns of equal length; bucket i covers steps first[i]..last[i]. null is "could not be computed": a gap. */
export interface Series {
  first: number[];
  last: number[];
  time: number[];
  min: (number | null)[];
  max: (number | null)[];
  mean: (number | null)[];
  num: number[];
}

/** One bucket as it comes from the server. */
export interface BucketLike {
  first_step: number;
  last_step: number;
  time: number;
  min: number | null;
  max: number | null;
  mean: number | null;
  num: number;
}

export function emptySeries(): Series {
  return { first: [], last: [], time: [], min: [], max: [], mean: [], num: [] };
}

export function seriesFromBuckets(buckets: readonly BucketLike[]): Series {
  const series = emptySeries();
  for (const bucket of buckets) {
    series.first.push(bucket.first_step);
    series.last.push(bucket.last_step);
    series.time.push(bucket.time);
    series.min.push(bucket.min);
    series.max.push(bucket.max);
    series.mean.push(bucket.mean);
    series.num.push(bucket.num);
  }
  return series;
}

export function seriesLength(series: Series): number {
  return series.first.length;
}

/** The last step that the series covers; 0 when it is empty. */
export function lastStep(series: Series): number {
  return series.last.at(-1) ?? 0;
}

/**
 * Adds one step in place and halves the number of buckets whenever there would be too many.
 *
 * All buckets but the last are of one width: a new step goes into the last one until that is as wide as the first.
 * Were it always a bucket of its own, halving again and again would leave the whole past in a handful of buckets.
 */
export function appendPoint(
  series: Series,
  step: number,
  time: number,
  value: number | null,
  maxBuckets = MAX_BUCKETS,
): void {
  const finite = value !== null && Number.isFinite(value) ? value : null;
  const width = (series.last[0] ?? 0) - (series.first[0] ?? 0) + 1;
  const at = series.first.length - 1;
  if (width > 1 && at > 0 && step - (series.first[at] ?? 0) < width) {
    widen(series, at, step, time, finite);
    return;
  }
  series.first.push(step);
  series.last.push(step);
  series.time.push(time);
  series.min.push(finite);
  series.max.push(finite);
  series.mean.push(finite);
  series.num.push(finite === null ? 0 : 1);
  if (series.first.length > maxBuckets) Object.assign(series, merged(series, 2));
}

function widen(series: Series, at: number, step: number, time: number, value: number | null): void {
  series.last[at] = step;
  series.time[at] = time;
  if (value === null) return;
  const num = series.num[at] ?? 0;
  series.min[at] = Math.min(series.min[at] ?? value, value);
  series.max[at] = Math.max(series.max[at] ?? value, value);
  series.mean[at] = ((series.mean[at] ?? 0) * num + value) / (num + 1);
  series.num[at] = num + 1;
}

/**
 * Drops, in place, everything after `step`. Answers false when a bucket lies across the border: then the series can
 * not be cut and must be fetched anew.
 */
export function truncateAfter(series: Series, step: number): boolean {
  let keep = series.first.length;
  while (keep > 0 && (series.first[keep - 1] ?? 0) > step) keep -= 1;
  if (keep > 0 && (series.last[keep - 1] ?? 0) > step) return false;
  for (const column of Object.values(series) as (number | null)[][]) column.length = keep;
  return true;
}

/** The part of the series with steps from..to (inclusive), whole buckets. */
export function slice(series: Series, from: number, to: number): Series {
  let low = 0;
  let high = series.first.length;
  while (low < high && (series.last[low] ?? 0) < from) low += 1;
  while (high > low && (series.first[high - 1] ?? 0) > to) high -= 1;
  return {
    first: series.first.slice(low, high),
    last: series.last.slice(low, high),
    time: series.time.slice(low, high),
    min: series.min.slice(low, high),
    max: series.max.slice(low, high),
    mean: series.mean.slice(low, high),
    num: series.num.slice(low, high),
  };
}

/** The same series as at most `maxBuckets` buckets. Extremes survive exactly; means are weighted by their points. */
export function bucketed(series: Series, maxBuckets: number): Series {
  const length = series.first.length;
  return length <= maxBuckets ? series : merged(series, Math.ceil(length / maxBuckets));
}

function merged(series: Series, factor: number): Series {
  const out = emptySeries();
  for (let from = 0; from < series.first.length; from += factor) {
    const to = Math.min(from + factor, series.first.length);
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    let sum = 0;
    let num = 0;
    for (let at = from; at < to; at += 1) {
      const points = series.num[at] ?? 0;
      if (points === 0) continue;
      low = Math.min(low, series.min[at] ?? low);
      high = Math.max(high, series.max[at] ?? high);
      sum += (series.mean[at] ?? 0) * points;
      num += points;
    }
    out.first.push(series.first[from] ?? 0);
    out.last.push(series.last[to - 1] ?? 0);
    out.time.push(series.time[to - 1] ?? 0);
    out.min.push(num ? low : null);
    out.max.push(num ? high : null);
    out.mean.push(num ? sum / num : null);
    out.num.push(num);
  }
  return out;
}

/**
 * Exponential moving average without the bias of its start (Kingma & Ba 2015, section 3): divided by 1 - factor^n.
 * `factor` is in 0..1; 0 gives the values back. Gaps stay gaps and do not move the average.
 */
export function smoothed(values: readonly (number | null)[], factor: number): (number | null)[] {
  if (factor <= 0) return values.slice();
  let average = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    average = factor * average + (1 - factor) * value;
    weight = factor * weight + (1 - factor);
    return average / weight;
  });
}

/**
 * Where steps lie on a scale that grows along with them, such as tokens or dollars: `ruler` is that scale by step.
 * Between two buckets it is read in a straight line, before the first and after the last it stands still.
 */
export function readAt(ruler: Series, steps: readonly number[]): number[] {
  const marks = ruler.last.flatMap((step, at) => {
    const value = ruler.max[at];
    return value == null ? [] : [[step, value] as const];
  });
  let at = 0;
  return steps.map((step) => {
    while (at < marks.length && (marks[at]?.[0] ?? 0) < step) at += 1;
    const [high, highValue] = marks[at] ?? marks.at(-1) ?? [step, 0];
    const [low, lowValue] = marks[at - 1] ?? [high, highValue];
    const share = high === low ? 1 : Math.min(1, (step - low) / (high - low));
    return lowValue + (highValue - lowValue) * share;
  });
}

/** Smallest and largest value, or null when there is none. With `positiveOnly` for logarithmic axes. */
export function extent(series: Series, positiveOnly = false): [number, number] | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < series.first.length; at += 1) {
    for (const bound of [series.min[at], series.max[at]]) {
      if (bound == null || (positiveOnly && bound <= 0)) continue;
      if (bound < low) low = bound;
      if (bound > high) high = bound;
    }
  }
  return low <= high ? [low, high] : null;
}

/** The series as CSV with a header line. */
export function toCsv(columns: Record<string, Series>): string {
  const lines = ["metric,first_step,last_step,unix_time,min,max,mean,num"];
  for (const [name, series] of Object.entries(columns)) {
    for (let at = 0; at < series.first.length; at += 1) {
      const cells = [series.first, series.last, series.time, series.min, series.max, series.mean, series.num];
      lines.push([name, ...cells.map((column) => column[at] ?? "")].join(","));
    }
  }
  return `${lines.join("\n")}\n`;
}
