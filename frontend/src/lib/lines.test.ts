import { expect, test } from "vitest";

import { jsonLines } from "./lines";

function bodyOf(bytes: Uint8Array, size: number): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
      controller.close();
    },
  });
}

test.each([1, 2, 3, 7, 1000])("lines survive being cut every %i bytes, in the middle of a character too", async (size) => {
  const items = [{ text: "λ ≤ 1 → 🜁" }, { text: "two\nlines" }, { end: true }];
  const bytes = new TextEncoder().encode(items.map((item) => JSON.stringify(item)).join("\n"));
  const found = [];
  for await (const item of jsonLines(bodyOf(bytes, size))) found.push(item);
  expect(found).toEqual(items);
});
