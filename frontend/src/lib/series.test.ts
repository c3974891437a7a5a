import fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  appendPoint,
  bucketed,
  emptySeries,
  extent,
  lastStep,
  readAt,
  type Series,
  seriesFromBuckets,
  seriesLength,
  slice,
  smoothed,
  toCsv,
  truncateAfter,
} from "./series";

const values = fc.array(fc.option(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { nil: null }), { maxLength: 600 });

function seriesOf(points: (number | null)[], maxBuckets?: number): Series {
  const series = emptySeries();
  points.forEach((value, at) => appendPoint(series, at + 1, at, value, maxBuckets));
  return series;
}

describe("bucketed series", () => {
  it("never has more buckets than allowed, and loses no extreme, step or point", () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 2, max: 50 }), (points, maxBuckets) => {
        const series = seriesOf(points, maxBuckets);
        expect(seriesLength(series)).toBeLessThanOrEqual(maxBuckets);
        const present = points.filter((value) => value !== null);
        expect(extent(series)).toEqual(present.length ? [Math.min(...present), Math.max(...present)] : null);
        expect(series.num.reduce((sum, num) => sum + num, 0)).toBe(present.length);
        // Buckets cover 1..N without holes or overlap.
        series.first.forEach((first, at) => expect(first).toBe(at === 0 ? 1 : (series.last[at - 1] ?? 0) + 1));
        expect(lastStep(series)).toBe(points.length);
        series.mean.forEach((mean, at) => {
          if (mean === null) return;
          const slack = 1e-9 * Math.max(1, Math.abs(mean));
          expect(mean).toBeGreaterThanOrEqual((series.min[at] ?? 0) - slack);
          expect(mean).toBeLessThanOrEqual((series.max[at] ?? 0) + slack);
        });
      }),
    );
  });

  it("keeps the past as fine as the present while it grows", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 2, max: 40 }), (length, maxBuckets) => {
        const series = seriesOf(Array.from({ length }, () => 1), maxBuckets);
        const widths = series.first.map((first, at) => (series.last[at] ?? 0) - first + 1);
        expect(new Set(widths.slice(0, -1)).size).toBeLessThanOrEqual(1);
        expect(widths.at(-1)).toBeLessThanOrEqual(widths[0] ?? 1);
      }),
    );
  });

  it("shows a one-step spike among 100,000 points at full range", () => {
    const points = Array.from({ length: 100_000 }, (_, at) => Math.sin(at / 500));
    points[71_234] = 40;
    const shown = bucketed(seriesOf(points, 200_000), 1400);
    expect(seriesLength(shown)).toBeLessThanOrEqual(1400);
    const at = shown.max.indexOf(40);
    expect(shown.first[at]).toBeLessThanOrEqual(71_235);
    expect(shown.last[at]).toBeGreaterThanOrEqual(71_235);
  });

  it("keeps the mean of a bucket weighted by its points", () => {
    const series = seriesOf([1, null, null, null, 4, 4, 4, 4], 100);
    expect(bucketed(series, 1).mean).toEqual([(1 + 16) / 5]);
  });

  it("cuts off what a resumed run repeats, but not through a bucket", () => {
    const series = seriesOf([1, 2, 3, 4, 5, 6]);
    expect(truncateAfter(series, 4)).toBe(true);
    expect([series.last, series.mean]).toEqual([
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ]);
    const wide = bucketed(seriesOf([1, 2, 3, 4, 5, 6]), 2);
    expect(truncateAfter(wide, 4)).toBe(false);
    expect(truncateAfter(wide, 3)).toBe(true);
    expect(wide.last).toEqual([3]);
  });

  it("takes the buckets that touch a range", () => {
    expect(slice(bucketed(seriesOf([1, 2, 3, 4, 5, 6, 7, 8]), 4), 4, 5).first).toEqual([3, 5]);
  });

  it("takes infinities for gaps", () => {
    expect(seriesOf([Number.POSITIVE_INFINITY]).mean).toEqual([null]);
  });
});

describe("smoothing", () => {
  it("equals the average with explicit weights", () => {
    const course = [4, 2, 8, 6];
    const factor = 0.7;
    course.forEach((_, end) => {
      const weights = course.slice(0, end + 1).map((__, at) => factor ** (end - at));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const expected = weights.reduce((sum, weight, at) => sum + weight * (course[at] ?? 0), 0) / total;
      expect(smoothed(course, factor)[end]).toBeCloseTo(expected, 12);
    });
  });

  it("has no bias at the start, keeps gaps and stays between the extremes", () => {
    expect(smoothed([5, 5, null, 5], 0.95)).toEqual([5, 5, null, 5].map((v) => v && expect.closeTo(v, 12)));
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 0.99, noNaN: true }), (points, factor) => {
        const present = points.filter((value) => value !== null);
        smoothed(points, factor).forEach((value, at) => {
          expect(value === null).toBe(points[at] === null);
          if (value === null) return;
          expect(value).toBeGreaterThanOrEqual(Math.min(...present) - 1e-3);
          expect(value).toBeLessThanOrEqual(Math.max(...present) + 1e-3);
        });
      }),
    );
  });

  it("factor 0 gives the values back", () => {
    expect(smoothed([1, null, 3], 0)).toEqual([1, null, 3]);
  });
});

it("writes CSV that a spreadsheet opens", () => {
  expect(toCsv({ loss: seriesOf([0.5, null]) })).toBe(
    "metric,first_step,last_step,unix_time,min,max,mean,num\nloss,1,1,0,0.5,0.5,0.5,1\nloss,2,2,1,,,,0\n",
  );
});

describe("another axis", () => {
  it("reads steps on a scale that grows with them: straight between buckets, still beyond them, never backwards", () => {
    const tokens = seriesFromBuckets([
      { first_step: 1, last_step: 2, time: 0, min: 10, max: 20, mean: 15, num: 2 },
      { first_step: 3, last_step: 4, time: 1, min: 20, max: 60, mean: 40, num: 2 },
    ]);
    expect(readAt(tokens, [1, 2, 3, 4, 9])).toEqual([20, 20, 40, 60, 60]);
    expect(readAt(emptySeries(), [1, 2])).toEqual([0, 0]);
  });
});
