/**
 * A configuration as a form: fields from its JSON Schema, values by dotted path, what differs from the defaults.
 *
 * In: the schema that the server publishes and a draft (a plain JSON tree). Out: field descriptions and new drafts.
 * Knows no setting by name, and neither React nor the wire.
 */

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type Tree = { [key: string]: Json };

export type FieldKind = "integer" | "number" | "boolean" | "choice" | "text" | "numbers";

export interface FieldSpec {
  path: string;
  title: string;
  help: string;
  kind: FieldKind;
  /** null stands for "decide for me". */
  nullable: boolean;
  options: string[];
  minimum: number | null;
  maximum: number | null;
  /** Whether the bounds themselves are outside. */
  exclusiveMinimum: boolean;
  exclusiveMaximum: boolean;
  defaultValue: Json | undefined;
}

interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  type?: string;
  const?: Json;
  enum?: Json[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  discriminator?: { propertyName: string; mapping?: Record<string, string> };
  properties?: Record<string, Schema>;
  items?: Schema;
  title?: string;
  description?: string;
  default?: Json;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
}

export function getPath(tree: Json | undefined, path: string): Json | undefined {
  let at: Json | undefined = tree;
  for (const key of path.split(".")) {
    if (typeof at !== "object" || at === null || Array.isArray(at)) return undefined;
    at = at[key];
  }
  return at;
}

/** A new tree with one value put in; the given one stays as it is. */
export function setPath(tree: Tree, path: string, value: Json): Tree {
  const [key = "", ...rest] = path.split(".");
  if (rest.length === 0) return { ...tree, [key]: value };
  const inner = tree[key];
  const branch = typeof inner === "object" && inner !== null && !Array.isArray(inner) ? inner : {};
  return { ...tree, [key]: setPath(branch, rest.join("."), value) };
}

/** A new tree in which a branch is of another kind; what both kinds know is kept. `path` is the kind's, objective.type. */
export function setKind(schema: Tree, tree: Tree, path: string, kind: string): Tree {
  const branch = path.slice(0, path.lastIndexOf("."));
  const bare = setPath(tree, branch, { type: kind });
  const known = new Set(fieldsOf(schema, bare).map((field) => field.path));
  const old = getPath(tree, branch);
  const kept = isTree(old) ? Object.entries(old).filter(([key]) => key !== "type" && known.has(`${branch}.${key}`)) : [];
  return setPath(tree, branch, { ...Object.fromEntries(kept), type: kind });
}

/** Lays one tree over another, branch by branch. A branch of another kind replaces what lies below: it has other settings. */
export function mergeTrees(below: Tree, above: Tree): Tree {
  const merged = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const old = merged[key];
    const isSameKind = isTree(old) && isTree(value) && (value.type === undefined || value.type === old.type);
    merged[key] = isSameKind ? mergeTrees(old, value) : value;
  }
  return merged;
}

/** Dotted paths of the leaves whose value is not the default; only those that have a default count. */
export function editedPaths(tree: Tree, defaults: Tree): string[] {
  return leaves(defaults)
    .filter(([path, value]) => {
      const found = getPath(tree, path);
      return found !== undefined && JSON.stringify(found) !== JSON.stringify(value);
    })
    .map(([path]) => path);
}

export function leaves(tree: Tree, prefix = ""): [string, Json][] {
  return Object.entries(tree).flatMap(([key, value]): [string, Json][] => {
    const path = prefix ? `${prefix}.${key}` : key;
    return isTree(value) ? leaves(value, path) : [[path, value]];
  });
}

/** All fields of the schema, in its order. Where it offers kinds, the draft's `type` says which kind's fields. */
export function fieldsOf(schema: Tree, draft: Tree): FieldSpec[] {
  const root = schema as Schema;
  return walk(root, root, draft, "");
}

function walk(root: Schema, given: Schema, draft: Json | undefined, prefix: string): FieldSpec[] {
  const schema = chosen(root, given, draft);
  return Object.entries(schema.properties ?? {}).flatMap(([key, property]): FieldSpec[] => {
    const path = prefix ? `${prefix}.${key}` : key;
    const inner = chosen(root, property, getPath(draft, key));
    if (inner.properties) {
      const choice = kindChoice(root, property, path);
      return [...(choice ? [choice] : []), ...walk(root, inner, getPath(draft, key), path)];
    }
    const field = fieldOf(root, property, path);
    return field ? [field] : [];
  });
}

/** The discriminator as a field of its own: objective.type with the kinds that there are. */
function kindChoice(root: Schema, given: Schema, path: string): FieldSpec | null {
  const union = resolve(root, given);
  if (!union.oneOf || !union.discriminator) return null;
  const key = union.discriminator.propertyName;
  return {
    ...blank(`${path}.${key}`, key, union.description ?? ""),
    kind: "choice",
    options: Object.keys(union.discriminator.mapping ?? {}),
  };
}

function fieldOf(root: Schema, given: Schema, path: string): FieldSpec | null {
  const outer = resolve(root, given);
  if (outer.const !== undefined) return null; // the discriminator of one kind
  const kinds = (outer.anyOf ?? [outer]).map((part) => resolve(root, part));
  const schema = kinds.find((part) => part.type !== "null") ?? outer;
  const name = path.split(".").at(-1) ?? path;
  const field = {
    ...blank(path, name, outer.description ?? schema.description ?? ""),
    nullable: kinds.some((part) => part.type === "null"),
    minimum: schema.minimum ?? schema.exclusiveMinimum ?? null,
    maximum: schema.maximum ?? schema.exclusiveMaximum ?? null,
    exclusiveMinimum: schema.minimum === undefined && schema.exclusiveMinimum !== undefined,
    exclusiveMaximum: schema.maximum === undefined && schema.exclusiveMaximum !== undefined,
    defaultValue: outer.default,
  };
  if (schema.enum) return { ...field, kind: "choice", options: schema.enum.map(String) };
  switch (schema.type) {
    case "integer":
    case "number":
    case "boolean":
      return { ...field, kind: schema.type };
    case "string":
      return { ...field, kind: "text" };
    case "array":
      return resolve(root, schema.items ?? {}).type === "number" ? { ...field, kind: "numbers" } : null;
    default:
      return null; // a newer server's kind of field: it keeps its default
  }
}

function blank(path: string, name: string, help: string): FieldSpec {
  return {
    path,
    title: words(name),
    help,
    kind: "text",
    nullable: false,
    options: [],
    minimum: null,
    maximum: null,
    exclusiveMinimum: false,
    exclusiveMaximum: false,
    defaultValue: undefined,
  };
}

function resolve(root: Schema, schema: Schema): Schema {
  if (!schema.$ref) return schema;
  const found = root.$defs?.[schema.$ref.replace("#/$defs/", "")] ?? {};
  return { ...found, ...schema, $ref: undefined };
}

function chosen(root: Schema, given: Schema, draft: Json | undefined): Schema {
  const schema = resolve(root, given);
  if (!schema.oneOf) return schema;
  const key = schema.discriminator?.propertyName ?? "type";
  const kind = getPath(draft, key);
  const kinds = schema.oneOf.map((part) => resolve(root, part));
  return kinds.find((part) => part.properties?.[key]?.const === kind) ?? kinds[0] ?? schema;
}

function words(key: string): string {
  const text = key.replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function isTree(value: Json | undefined): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
