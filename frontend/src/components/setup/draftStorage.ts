/** The draft between visits: what other pages put in for the next run. */
import type { RunConfig } from "../../api/types";
import { setPath, type Tree } from "../../lib/configForm";
import { readPreference, writePreference } from "../preferences";

const KEY = "draft";

export function readDraft(): Tree | null {
  try {
    const kept: unknown = JSON.parse(readPreference(KEY) ?? "null");
    return typeof kept === "object" && kept !== null && !Array.isArray(kept) ? (kept as Tree) : null;
  } catch {
    return null; // written by another version: start afresh
  }
}

export function writeDraft(tree: Tree): void {
  writePreference(KEY, JSON.stringify(tree));
}

/** Puts a stored configuration in as the next draft, for "new run like this". */
export function keepAsDraft(config: RunConfig): void {
  writeDraft({ ...(config as unknown as Tree), name: "" });
}

/** Puts a dataset into the next draft. */
export function keepDataset(path: string): void {
  writeDraft(setPath(readDraft() ?? {}, "data.path", path));
}
