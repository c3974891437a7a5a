/** What the page says about a run, derived from its view. Pure; times are Unix seconds. */
import type { RunConfig, RunState, SampleRecorded } from "../../api/types";
import type { RunView } from "../../store/slices/opdSlice";
import { strings } from "../../strings";

export const ACTIVE: readonly RunState[] = ["queued", "running", "stopping"];
export const RESUMABLE: readonly RunState[] = ["stopped", "failed", "paused", "interrupted"];

/** Ended, however; not while the state is still unknown. */
export function isOver(state: RunState | null | undefined): boolean {
  return state != null && !isActive(state);
}

export function isActive(state: RunState | null | undefined): boolean {
  return state != null && ACTIVE.includes(state);
}

export interface PhaseStep {
  phase: string;
  status: "done" | "active" | "halted" | "ahead";
  /** 0..1; null where it cannot be told. */
  share: number | null;
  seconds: number | null;
}

/** The phases of a run in a fixed order: those that were, the one that is, those that are to be expected. */
export function phaseSteps(view: RunView, config: RunConfig | undefined, now: number): PhaseStep[] {
  const spans = new Map(view.phases.map((span) => [span.phase, span])); // of a repeated phase, the newest stretch
  const active = isActive(view.state);
  const order = withUnexpected(config ? expectedPhases(config) : [], [...spans.keys()]);
  const isOver = view.summary.finished?.outcome === "done";
  const current = isOver ? undefined : (view.phases.at(-1)?.phase ?? (active ? order[0] : undefined));
  const currentAt = isOver ? order.length : order.indexOf(current ?? "");
  return order.map((phase, at): PhaseStep => {
    const span = spans.get(phase);
    const end = span?.ended ?? (active ? now : (view.summary.updated_time ?? now));
    const seconds = span ? Math.max(0, end - span.started) : null;
    if (phase === current) {
      const share = span?.total ? Math.min(1, span.done / span.total) : null;
      return { phase, status: active ? "active" : "halted", share: active ? share : (share ?? 0), seconds };
    }
    // What lies before the current phase was done, in an earlier process of this run if not in this one.
    const isDone = span !== undefined || at < currentAt;
    return { phase, status: isDone ? "done" : "ahead", share: isDone ? 1 : 0, seconds };
  });
}

/** What a configuration makes a run go through, in the order of backend/opd/pipeline/walk.py. */
function expectedPhases(config: RunConfig): string[] {
  const needsAnswers = config.on_policy_fraction < 1 || config.warm_start.steps > 0 || config.baseline.enabled;
  return [
    "loading",
    ...(config.evaluation.enabled ? ["evaluating_before"] : []),
    ...(needsAnswers ? ["answering"] : []),
    ...(config.warm_start.steps > 0 ? ["warm_start"] : []),
    "distilling",
    ...(config.evaluation.enabled ? ["evaluating_after"] : []),
    ...(config.baseline.enabled ? ["baseline"] : []),
    "finalizing",
  ];
}

/** Phases that nobody expected are put behind the one that they followed. */
function withUnexpected(expected: string[], seen: string[]): string[] {
  const order = [...expected];
  seen.forEach((phase, at) => {
    if (!order.includes(phase)) order.splice(order.indexOf(seen[at - 1] ?? "") + 1, 0, phase);
  });
  return order;
}

/** Seconds to the end of the current phase: as the run says, else by its pace so far. */
export function phaseEta(view: RunView, now: number): number | null {
  const { eta_s, updated_time, phase_done, phase_total, phase_started_time } = view.summary;
  if (eta_s !== null) return Math.max(0, eta_s - Math.max(0, now - (updated_time ?? now)));
  if (!phase_done || !phase_total || phase_started_time === null) return null;
  const elapsed = (updated_time ?? now) - phase_started_time;
  return Math.max(0, (elapsed / phase_done) * (phase_total - phase_done));
}

export function secondsElapsed(view: RunView, now: number): number {
  const { started_time, updated_time } = view.summary;
  if (started_time === null) return 0;
  return Math.max(0, (isActive(view.state) ? now : (updated_time ?? now)) - started_time);
}

export interface ProbePrompt {
  id: string;
  prompt: string;
  expected: string | null;
  student: SampleRecorded[];
  teacher: SampleRecorded | undefined;
}

/** Recorded answers by prompt; the student's in order of step, one for each step (the newest). */
export function probePrompts(samples: readonly SampleRecorded[]): ProbePrompt[] {
  const groups = new Map<string, ProbePrompt>();
  for (const sample of samples) {
    const group = groups.get(sample.prompt_id) ?? {
      id: sample.prompt_id,
      prompt: sample.prompt,
      expected: sample.expected,
      student: [],
      teacher: undefined,
    };
    groups.set(sample.prompt_id, group);
    if (sample.author === "teacher") group.teacher = sample;
    if (sample.author === "student") {
      group.student = [...group.student.filter((known) => known.step !== sample.step), sample].toSorted(
        (a, b) => a.step - b.step,
      );
    }
  }
  return [...groups.values()];
}

/** Mean of a metric's newest points: a single step is too nervous to read. */
export function recentMean(view: RunView, metric: string, points = 20): number | null {
  const values = (view.series[metric]?.mean ?? []).slice(-points).filter((value) => value !== null);
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}

export interface TimePart {
  name: string;
  seconds: number;
}

/** Where a step's time goes lately, from metrics time/<phase>_s. */
export function timeParts(view: RunView): TimePart[] {
  return Object.keys(view.series)
    .flatMap((metric): TimePart[] => {
      const name = /^time\/(\w+)_s$/.exec(metric)?.[1];
      if (!name || name === "step") return [];
      return [{ name, seconds: recentMean(view, metric) ?? 0 }];
    })
    .filter((part) => part.seconds > 0)
    .toSorted((a, b) => b.seconds - a.seconds);
}

/** What the run does in this phase, in a sentence. A teacher that only answers grades no token, and none is claimed. */
export function doingNow(phase: string | null | undefined, config: RunConfig | undefined): string | undefined {
  const answered = phase === "distilling" && config?.teacher.type === "chat";
  const words = answered ? strings.answersOnly[config.objective.type] : undefined;
  return words ?? strings.phase[phase ?? "loading"]?.doing ?? strings.phase.loading?.doing;
}
