import { describe, expect, it } from "vitest";

import * as format from "./format";

describe("numbers as people read them", () => {
  it.each([
    [0.2, "0.200"],
    [1.41234, "1.412"],
    [23.456, "23.46"],
    [384.06, "384.1"],
    [12345.6, "12,346"],
    [0.00012, "1.20e-4"],
    [0, "0"],
    [null, "–"],
    [Number.NaN, "–"],
  ])("value %s is %s", (given, expected) => expect(format.value(given)).toBe(expected));

  it.each([
    [950, "950"],
    [12_300, "12.3 k"],
    [50_000, "50 k"],
    [999_950, "1 M"],
    [11_900_000, "11.9 M"],
  ])("short count of %s is %s", (given, expected) => expect(format.shortCount(given)).toBe(expected));

  it.each([
    [0.045, "45 ms"],
    [1, "1 s"],
    [3.25, "3.3 s"],
    [59.6, "1 min"],
    [200, "3 min 20 s"],
    [4320, "1 h 12 min"],
    [3599.7, "1 h"],
    [86_400 * 2 + 3600 * 3, "2 d 3 h"],
    [-1, "–"],
  ])("duration of %s s is %s", (given, expected) => expect(format.duration(given)).toBe(expected));

  it("gives ranges one unit", () => {
    expect(format.durationRange(2280, 3300)).toBe("38–55 min");
    expect(format.durationRange(40, 65)).toBe("40–65 s");
    expect(format.durationRange(65, 407)).toBe("1–7 min");
    expect(format.durationRange(40, 300)).toBe("40 s – 5 min");
    expect(format.durationRange(7200, 10_800)).toBe("2–3 h");
  });

  it.each([
    [0, "$0.00"],
    [0.0075, "$0.0075"],
    [1.785, "$1.79"],
    [35.7, "$35.70"],
    [1234.5, "$1,234.50"],
  ])("%s dollars are %s", (given, expected) => expect(format.usd(given)).toBe(expected));

  it.each([
    [512, "512 B"],
    [7_900_000_000, "7.9 GB"],
    [999_600, "1 MB"],
  ])("%s bytes are %s", (given, expected) => expect(format.bytes(given)).toBe(expected));

  it("writes learning rates as they are typed", () => {
    expect([1e-4, 3e-4, 2.5e-5, 1e-3].map(format.learningRate)).toEqual(["1e-4", "3e-4", "2.5e-5", "1e-3"]);
  });

  it("writes a column of amounts with the same digits, and nothing as a dash", () => {
    const cents = format.nanoUsdColumn([21e6, 0, 1_250e6]);
    expect([21e6, 0, 1_250e6].map(cents)).toEqual(["$0.02", "–", "$1.25"]);
    const parts = format.nanoUsdColumn([21e6, 1.2e6, 0]);
    expect([21e6, 1.2e6, 22.2e6].map(parts)).toEqual(["$0.0210", "$0.0012", "$0.0222"]);
    expect(format.nanoUsdColumn([1000])(1000)).toBe("$0.0000010");
  });

  it("names days and months", () => {
    expect(format.day("2027-01-14")).toBe("14 Jan 2027");
    expect(format.day(null)).toBe("–");
    expect(format.day("soon")).toBe("soon");
    expect(format.month("2026-11")).toBe("November 2026");
  });

  it("takes the last part of a model's id, on every system", () => {
    expect(format.modelName("Qwen/Qwen3-0.6B")).toBe("Qwen3-0.6B");
    expect(format.modelName("C:\\models\\student\\")).toBe("student");
  });

  it("uses a real minus sign", () => {
    expect(format.signed("0.42", 0.42)).toBe("+0.42");
    expect(format.signed("-0.42", -0.42)).toBe("−0.42");
  });
});
