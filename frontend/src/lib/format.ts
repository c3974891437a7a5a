/**
 * Numbers, times and sizes as people read them. Pure: in a number, out a string; `null` and NaN become a dash.
 * Units are part of the text only where they change with the size (bytes, durations, money).
 */

export const DASH = "–";

type Maybe = number | null | undefined;

function isNumber(value: Maybe): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** A count with thousands separators: 11900000 is 11,900,000. */
export function count(value: Maybe): string {
  return isNumber(value) ? Math.round(value).toLocaleString("en-US") : DASH;
}

/** A large count, short: 950, 12.3 k, 11.9 M, 2.1 B. */
export function shortCount(value: Maybe): string {
  if (!isNumber(value)) return DASH;
  const size = Math.abs(value);
  for (const [limit, unit] of [
    [1e9, "B"],
    [1e6, "M"],
    [1e3, "k"],
  ] as const) {
    // 999,950 would round to "1000.0 k".
    if (size >= limit * 0.9995) return `${trimmed(value / limit, 1)} ${unit}`;
  }
  return Number.isInteger(value) ? String(value) : trimmed(value, 1);
}

/** A measured value with about four significant digits; very small and very large ones in powers of ten. */
export function value(number: Maybe): string {
  if (!isNumber(number)) return DASH;
  const size = Math.abs(number);
  if (size === 0) return "0";
  if (size < 0.001 || size >= 1e7) return number.toExponential(2).replace("e+", "e");
  if (size >= 1000) return Math.round(number).toLocaleString("en-US");
  return number.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : 3);
}

/** A share as a percentage: 0.734 is 73.4 %. */
export function percent(share: Maybe, digits = 1): string {
  return isNumber(share) ? `${(share * 100).toFixed(digits)} %` : DASH;
}

/** Numbers stay on the line of their unit: 78.3 % is never broken in two. */
export function tied(text: string): string {
  return text.replaceAll(/(\d) (%|kB|MB|GB|s\b|min\b|h\b|points?\b)/g, "$1\u00a0$2");
}

/** A change with its sign, never a hyphen for a minus. */
export function signed(text: string, number: number): string {
  if (number > 0) return `+${text}`;
  return text.replace(/^-/, "−");
}

/** Seconds as a duration with two units at most: 45 s, 3 min 20 s, 1 h 12 min, 2 d 3 h. */
export function duration(seconds: Maybe): string {
  if (!isNumber(seconds) || seconds < 0) return DASH;
  if (seconds < 1) return seconds === 0 ? "0 s" : `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 9.95) return `${trimmed(seconds, 1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(Math.floor(whole / 60), "min", whole % 60, "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return pair(Math.floor(minutes / 60), "h", minutes % 60, "min");
  const hours = Math.round(seconds / 3600);
  return pair(Math.floor(hours / 24), "d", hours % 24, "h");
}

/** A range of durations, with one unit where both ends share it: 38–55 min. */
export function durationRange(low: number, high: number): string {
  for (const [size, unit] of [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
  ] as const) {
    if (low >= size && high >= 2 * size) return range(low / size, high / size, unit);
  }
  if (high < 120) return range(low, high, "s");
  return `${duration(low)} – ${duration(high)}`;
}

function range(low: number, high: number, unit: string): string {
  const digits = low < 10 && high - low < 5 ? 1 : 0;
  const [from, to] = [trimmed(low, digits), trimmed(high, digits)];
  return from === to ? `${from} ${unit}` : `${from}–${to} ${unit}`;
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

/** Bytes with decimal units, as disks and network rates are sold: 7.9 GB. */
export function bytes(size: Maybe): string {
  if (!isNumber(size)) return DASH;
  if (size < 1000) return `${Math.round(size)} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let amount = size / 1000;
  let at = 0;
  while (amount >= 999.5 && at < units.length - 1) {
    amount /= 1000;
    at += 1;
  }
  return `${trimmed(amount, amount < 100 ? 1 : 0)} ${units[at]}`;
}

/** Dollars: cents from one cent on; below, enough digits to tell an amount from nothing. */
export function usd(amount: Maybe): string {
  if (!isNumber(amount)) return DASH;
  if (amount === 0) return "$0.00";
  if (Math.abs(amount) < 0.01) return `$${amount.toPrecision(2)}`;
  return `$${amount.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}

/** Amounts that stand in one column, in integer nano-dollars: all with the digits that the smallest of them needs. */
export function nanoUsdColumn(amounts: number[]): (amount: number) => string {
  const dollars = amounts.filter((amount) => amount !== 0).map((amount) => Math.abs(amount) / 1e9);
  const digits = dollars.some((amount) => amount < 0.01) ? 4 : 2;
  return (amount) => {
    if (amount === 0) return DASH;
    if (Math.abs(amount) / 1e9 < 0.5 * 10 ** -digits) return usd(amount / 1e9);
    return `$${(amount / 1e9).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
  };
}

/** Integer nano-dollars, as the ledger counts. */
export function nanoUsd(amount: Maybe): string {
  return usd(isNumber(amount) ? amount / 1e9 : amount);
}

/** Learning rates: 1e-4, 3e-4, 2.5e-5. */
export function learningRate(rate: Maybe): string {
  if (!isNumber(rate)) return DASH;
  if (rate === 0) return "0";
  const [mantissa = "0", exponent = "0"] = rate.toExponential(2).split("e");
  return `${Number(mantissa)}e${Number(exponent)}`;
}

/** A moment as the reader's local date and time: 23 Nov 2026, 15:22. */
export function moment(unixSeconds: Maybe): string {
  if (!isNumber(unixSeconds)) return DASH;
  return new Date(unixSeconds * 1000).toLocaleString("en-GB", {
    day: "numeric",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
  });
}

/** A date of the calendar as people write it: 2027-01-14 is 14 Jan 2027. */
export function day(iso: string | null | undefined): string {
  const date = iso ? new Date(`${iso.slice(0, 10)}T00:00:00Z`) : null;
  if (!date || Number.isNaN(date.getTime())) return iso || DASH;
  return date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric", timeZone: "UTC" });
}

/** A month with its name: 2026-11 is November 2026. */
export function month(iso: string): string {
  const date = new Date(`${iso}-01T00:00:00Z`);
  if (Number.isNaN(date.getTime())) return iso;
  return date.toLocaleDateString("en-GB", { month: "long", year: "numeric", timeZone: "UTC" });
}

/** A moment as the local time of day: 15:22:07. */
export function clock(unixSeconds: Maybe): string {
  return isNumber(unixSeconds) ? new Date(unixSeconds * 1000).toLocaleTimeString("en-GB") : DASH;
}

/** How long ago, coarsely: "just now", "5 min ago", "3 h ago", then the date. */
export function ago(unixSeconds: number, nowSeconds: number): string {
  const seconds = Math.max(0, nowSeconds - unixSeconds);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return moment(unixSeconds);
}

/** The last part of a model id or folder: what people call it. */
export function modelName(model: string): string {
  const parts = model.replaceAll("\\", "/").split("/").filter(Boolean);
  return parts.at(-1) ?? model;
}

/** A word with its number, and an s where English wants one. */
export function plural(number: number, word: string, many = `${word}s`): string {
  return `${count(number)} ${number === 1 ? word : many}`;
}

function trimmed(number: number, digits: number): string {
  const text = number.toFixed(digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
