/** Events in words. */
import type { EvaluationFinished, RunEvent, StoredEvent } from "../../api/types";
import { bytes, count, duration, percent, usd, value } from "../../lib/format";
import { wordFor } from "../../lib/words";
import { strings } from "../../strings";
import type { Tone } from "../ui/Notice";

export interface Told {
  text: string;
  detail: string;
  tone: Tone | "plain";
}

const plain = (text: string, detail = ""): Told => ({ text, detail, tone: "plain" });

export function tell(event: RunEvent): Told {
  switch (event.kind) {
    case "run_started":
      return plain(
        `Started on ${event.device}`,
        `${count(event.num_prompts)} prompts, ${count(event.num_test_prompts)} held out. Teacher's signal: ${event.signal}.`,
      );
    case "run_resumed":
      return {
        text: event.step > 0 ? `Resumed from step ${count(event.step)}` : "Began again at step 1",
        detail: `${event.exactness === "exact" ? strings.verdict.exact : strings.verdict.continued}. ${event.reason}`,
        tone: event.exactness === "exact" ? "info" : "warn",
      };
    case "phase_started":
      return plain(strings.phase[event.phase]?.name ?? event.phase, event.detail);
    case "checkpoint_saved":
      return plain(
        `Checkpoint of step ${count(event.step)}`,
        `${bytes(event.num_bytes)}, written and verified in ${duration(event.duration_s)}`,
      );
    case "alarm_raised":
      return {
        text: event.what,
        detail: event.why,
        tone: event.severity === "info" ? "info" : event.severity === "warning" ? "warn" : "bad",
      };
    case "stage_finished":
      return plain(event.words);
    case "money_spent":
      return plain(`Spent ${usd(event.spent_nano_usd / 1e9)}`, `${count(event.num_calls)} calls`);
    case "evaluation_finished":
      return plain(`Measured: ${wordFor(strings.verdict.subject, event.subject)}`, measured(event));
    case "verdict_reached":
      return { text: event.headline, detail: "", tone: event.conclusion === "better" ? "good" : "info" };
    case "run_finished": {
      const tone = event.outcome === "done" ? "good" : event.outcome === "failed" ? "bad" : "info";
      return { text: wordFor(strings.state, event.outcome), detail: event.error?.message ?? event.reason, tone };
    }
    default:
      // Of a newer server: its kind is all that can be told.
      return plain(String((event as { kind: string }).kind).replaceAll("_", " "));
  }
}

function measured(event: EvaluationFinished): string {
  return Object.entries(event.metrics)
    .slice(0, 3)
    .map(([name, interval]) => `${(strings.metric[name]?.name ?? name).toLowerCase()} ${metricText(name, interval.mean)}`)
    .join(", ");
}

/** Shares as percentages, everything else as a number. */
const SHARES = new Set(["exact_match", "judge_win_rate", "rubric_score", "truncated", "repeated", "refused"]);

export function isShare(metric: string): boolean {
  return SHARES.has(metric);
}

export function metricText(metric: string, number: number): string {
  return isShare(metric) ? percent(number) : value(number);
}

/** Newest first; of payments one after the other only the newest, which has the sum of them all. */
export function withoutRepeats(log: StoredEvent[]): StoredEvent[] {
  return log.filter((stored, index) => !(isPayment(stored) && isPayment(log[index + 1]))).toReversed();
}

const isPayment = (stored?: StoredEvent) => stored?.event.kind === "money_spent";
