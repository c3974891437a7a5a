import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { editedPaths, fieldsOf, getPath, leaves, mergeTrees, setKind, setPath, type Tree } from "./configForm";

/** The input side of the published document has the same shapes as the schema route's answer. */
const document = JSON.parse(readFileSync("src/api/openapi.json", "utf8")) as {
  components: { schemas: Record<string, Tree> };
};
const root = JSON.parse(
  JSON.stringify({ ...document.components.schemas["RunConfig-Input"], $defs: document.components.schemas }).replaceAll(
    "#/components/schemas/",
    "#/$defs/",
  ),
) as Tree;

describe("fields of the real configuration", () => {
  const fields = fieldsOf(root, { teacher: { type: "local" }, objective: { type: "divergence" } });
  const byPath = new Map(fields.map((field) => [field.path, field]));

  it("finds settings at every depth with their help and bounds", () => {
    expect(byPath.get("max_steps")).toMatchObject({ kind: "integer", minimum: 1, nullable: false });
    expect(byPath.get("learning_rate")).toMatchObject({
      kind: "number",
      nullable: true,
      minimum: 0,
      exclusiveMinimum: true,
    });
    expect(byPath.get("student.lora.rank")?.help).toContain("Rank of the update");
    expect(byPath.get("data.answer_match")?.options).toContain("last_number");
    expect(byPath.get("baseline.learning_rates")?.kind).toBe("numbers");
  });

  it("offers the kinds of a union and the fields of the chosen kind only", () => {
    expect(byPath.get("objective.type")?.options).toEqual(expect.arrayContaining(["divergence", "gold"]));
    expect(byPath.has("teacher.base_url")).toBe(false);
    const chat = fieldsOf(root, { teacher: { type: "chat" } }).map((field) => field.path);
    expect(chat).toContain("teacher.base_url");
  });

  it("gives each field a help text", () => {
    expect(fields.filter((field) => field.help === "" && !field.path.endsWith(".type"))).toEqual([]);
  });
});

describe("drafts", () => {
  const defaults: Tree = { max_steps: 200, lora: { rank: 32, alpha: 64 }, rates: [1, 2] };

  it("sets a path without touching the given tree", () => {
    const changed = setPath(defaults, "lora.rank", 8);
    expect(getPath(changed, "lora.rank")).toBe(8);
    expect(getPath(changed, "lora.alpha")).toBe(64);
    expect(getPath(defaults, "lora.rank")).toBe(32);
    expect(setPath({}, "a.b.c", true)).toEqual({ a: { b: { c: true } } });
  });

  it("changes a kind and keeps what both kinds know", () => {
    const listed: Tree = { objective: { type: "topk_forward_kl", top_k: 8 }, max_steps: 5 };
    expect(setKind(root, listed, "objective.type", "topk_reverse_kl")).toEqual({
      objective: { type: "topk_reverse_kl", top_k: 8 },
      max_steps: 5,
    });
    const whole: Tree = { objective: { type: "divergence", beta: 0.5 } };
    expect(setKind(root, whole, "objective.type", "topk_forward_kl")).toEqual({ objective: { type: "topk_forward_kl" } });
  });

  it("counts what differs from the defaults, and nothing that has none", () => {
    expect(editedPaths({ ...defaults, student: { model: "x" } }, defaults)).toEqual([]);
    expect(editedPaths({ max_steps: 5, lora: { rank: 8, alpha: 64 }, rates: [1, 3] }, defaults)).toEqual([
      "max_steps",
      "lora.rank",
      "rates",
    ]);
  });

  it("lays a preset over a draft branch by branch", () => {
    expect(mergeTrees(defaults, { lora: { rank: 1 } })).toEqual({ ...defaults, lora: { rank: 1, alpha: 64 } });
  });

  it("lists leaves by dotted path", () => {
    expect(leaves(defaults).map(([path]) => path)).toEqual(["max_steps", "lora.rank", "lora.alpha", "rates"]);
  });
});

it("a branch of another kind replaces the one below, and one of the same kind is laid over it", () => {
  const below = { teacher: { type: "local", model: "a", dtype: "auto" }, max_steps: 1 };
  expect(mergeTrees(below, { teacher: { type: "chat", model: "b" } })).toEqual({ teacher: { type: "chat", model: "b" }, max_steps: 1 });
  expect(mergeTrees(below, { teacher: { model: "b" } }).teacher).toEqual({ type: "local", model: "b", dtype: "auto" });
});
