/** What went wrong, from whatever RTK Query hands over: the server's own words, or ours where it gave none. */
import type { SerializedError } from "@reduxjs/toolkit";
import type { FetchBaseQueryError } from "@reduxjs/toolkit/query";

import type { ErrorBody } from "./schema.gen";

export interface Problem extends ErrorBody {
  /** HTTP status; null when there was no answer. */
  status: number | null;
}

/** The run that holds the device, from a "busy" answer. */
export function busyRunId(problem: Problem): string | null {
  const runId = problem.details.run_id;
  return problem.code === "busy" && typeof runId === "string" ? runId : null;
}

/** A provider's terms, as the server asks to have them accepted. */
export interface Terms {
  code: string;
  title: string;
  text: string;
  address: string;
}

/** The terms that have to be accepted before this run starts, from a refusal that names them. */
export function openTerms(problem: Problem): Terms | null {
  const { code, title, text, address } = problem.details;
  const isWhole = [code, title, text, address].every((part) => typeof part === "string");
  return problem.code === "terms_not_accepted" && isWhole ? (problem.details as unknown as Terms) : null;
}

export function problemOf(error: FetchBaseQueryError | SerializedError | undefined): Problem | null {
  if (!error) return null;
  if (!("status" in error)) {
    return make("page_error", error.message ?? "The page met an error of its own.", "Reload the page.");
  }
  if (error.status === "FETCH_ERROR" || error.status === "TIMEOUT_ERROR") {
    return make(
      "server_unreachable",
      "The studio does not answer.",
      "Runs go on without it. Start it again with `opd studio`; this page then continues by itself.",
    );
  }
  if (isErrorAnswer(error.data)) {
    return { ...error.data.error, status: typeof error.status === "number" ? error.status : null };
  }
  const status = typeof error.status === "number" ? error.status : null;
  return { ...make("unexpected_answer", "The studio gave an answer that this page does not know.", "Reload the page."), status };
}

function make(code: string, message: string, hint: string): Problem {
  return { code, message, hint, details: {}, status: null };
}

function isErrorAnswer(data: unknown): data is { error: ErrorBody } {
  if (typeof data !== "object" || data === null || !("error" in data)) return false;
  const { error } = data;
  return typeof error === "object" && error !== null && "code" in error && "message" in error;
}
