import { expect, it } from "vitest";

import { wordFor } from "./words";

it("says a known word and shows an unknown one, whatever it is", () => {
  const table = { done: "Done" };
  expect(["done", "mostly_better", "constructor", "__proto__", ""].map((key) => wordFor(table, key))).toEqual([
    "Done",
    "mostly better",
    "constructor",
    "  proto  ",
    "",
  ]);
});
