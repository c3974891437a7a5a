/**
 * The configuration being edited: a tree that starts from the server's defaults, checked by the server as it changes.
 *
 * In: edits by dotted path. Out: the tree, what is wrong with it, and the completed configuration once it can be used.
 * The draft outlives a reload (in the browser's storage); it never holds keys.
 */
import { useDebouncedValue } from "@mantine/hooks";
import { useCallback, useEffect, useMemo, useState } from "react";

import { useCheckConfigQuery, useGetConfigSchemaQuery } from "../../api";
import type { problemOf } from "../../api/errors";
import type { ConfigSchema, RunConfig } from "../../api/types";
import { editedPaths, fieldsOf, type FieldSpec, getPath, type Json, mergeTrees, setKind, setPath, type Tree } from "../../lib/configForm";
import { readDraft, writeDraft } from "./draftStorage";

type Failed = Parameters<typeof problemOf>[0];

const CHECK_AFTER_MS = 50;
/** What has to be chosen by a person. */
const CHOICES = ["teacher.model", "student.model", "data.path"] as const;

export interface Draft {
  tree: Tree;
  schema: ConfigSchema;
  defaults: Tree;
  fields: FieldSpec[];
  edited: string[];
  /** Teacher, student and data are chosen. */
  isComplete: boolean;
  /** The completed configuration of exactly this tree; null while it is checked or cannot be used. */
  config: RunConfig | null;
  /** Messages by path, without those for choices still to be made. */
  problems: Record<string, string>;
  get: (path: string) => Json | undefined;
  set: (path: string, value: Json) => void;
  merge: (changes: Tree) => void;
  replace: (tree: Tree) => void;
}

export function useDraft(): { draft: Draft | null; error: Failed; retry: () => void } {
  const { data: schema, error, refetch } = useGetConfigSchemaQuery();
  const [tree, setTree] = useState<Tree | null>(null);

  const defaults = useMemo(() => (schema ? startingTree(schema) : null), [schema]);
  if (defaults && !tree) setTree(restored(defaults));
  useEffect(() => {
    if (tree) writeDraft(tree);
  }, [tree]);

  const [settled] = useDebouncedValue(tree, CHECK_AFTER_MS);
  const { currentData: check } = useCheckConfigQuery({ uncheckedConfig: { config: settled ?? {} } }, { skip: !settled });

  const set = useCallback(
    (path: string, value: Json) => setTree((known) => (known && schema ? edited(schema, known, path, value) : known)),
    [schema],
  );
  const merge = useCallback((changes: Tree) => setTree((known) => known && mergeTrees(known, changes)), []);
  const fields = useMemo(
    () => (schema && tree ? fieldsOf(schema.json_schema as Tree, tree) : []),
    [schema, tree],
  );

  if (!schema || !tree || !defaults) return { draft: null, error, retry: () => void refetch() };
  const isComplete = choicesIn(tree).every((path) => getPath(tree, path) !== "");
  const isSettled = settled === tree && check !== undefined;
  const draft: Draft = {
    tree,
    schema,
    defaults,
    fields,
    edited: editedPaths(tree, schema.defaults as Tree),
    isComplete,
    config: isSettled && check.ok ? check.config : null,
    problems: isSettled ? problemsOf(check.fields, tree) : {},
    get: (path) => getPath(tree, path),
    set,
    merge,
    replace: setTree,
  };
  return { draft, error: undefined, retry: () => {} };
}

/** What has to be chosen of this kind of teacher. */
function choicesIn(tree: Tree): string[] {
  return getPath(tree, "teacher.type") === "server" ? [...CHOICES, "teacher.base_url"] : [...CHOICES];
}

/** One edit. Another kind of teacher brings the objective that goes with it; its model is still to be named. */
function edited(schema: ConfigSchema, tree: Tree, path: string, value: Json): Tree {
  if (!path.endsWith(".type") || typeof value !== "string") return setPath(tree, path, value);
  const json = schema.json_schema as Tree;
  const changed = setKind(json, tree, path, value);
  if (path !== "teacher.type") return changed;
  const teacher: Tree = value === "server" ? { type: value, base_url: "", model: "" } : { type: value, model: "" };
  const usual = schema.usual_objectives[value];
  const whole = setPath(changed, "teacher", teacher);
  return usual === undefined ? whole : setKind(json, whole, "objective.type", usual);
}

function startingTree(schema: ConfigSchema): Tree {
  let tree = schema.defaults as Tree;
  for (const path of CHOICES) tree = setPath(tree, path, "");
  return tree;
}

/** The draft of last time, as far as its settings still exist. */
function restored(defaults: Tree): Tree {
  const known = Object.entries(readDraft() ?? {}).filter(([key]) => key in defaults);
  return mergeTrees(defaults, Object.fromEntries(known));
}

function problemsOf(found: { path: string; message: string }[], tree: Tree): Record<string, string> {
  const problems: Record<string, string> = {};
  for (const { path, message } of found) {
    const own = withoutKind(path, tree);
    const isOpenChoice = choicesIn(tree).includes(own) && getPath(tree, own) === "";
    if (!isOpenChoice) problems[own] = message;
  }
  return problems;
}

/** The server names the kind inside a path (teacher.local.model); the form does not. */
function withoutKind(path: string, tree: Tree): string {
  const [first = "", second, ...rest] = path.split(".");
  return second !== undefined && getPath(tree, `${first}.type`) === second ? [first, ...rest].join(".") : path;
}
