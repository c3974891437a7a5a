/**
 * The state machine of a run's event stream: what the page knows about a run, folded from its events.
 *
 * In: events in order of `seq`, bucketed metrics, changes of the derived state. Out: a `RunView` per run.
 * `apply` mirrors `fold` in backend/opd/events.py. An event counts once: `seq` decides. After a resume the run repeats
 * steps; `run_resumed` drops what came after its checkpoint, so that points 1..N are there exactly once.
 * Sockets, clocks and randomness live in runStream.ts.
 */
import { createSlice, type PayloadAction } from "@reduxjs/toolkit";

import type { Bucket, RunState, RunStatus, RunSummary, SampleRecorded, StoredEvent } from "../../api/types";
import { appendPoint, lastStep, type Series, seriesFromBuckets, truncateAfter, emptySeries } from "../../lib/series";

export const MAX_LOG = 500;
export const MAX_SAMPLES = 2000;
const MAX_ALARMS = 50;
const PAUSE_ALARMS = new Set(["storage_failed", "budget_reached", "paused_for_review"]);
const MAX_VIEWS = 4;

export type Connection = "connecting" | "replaying" | "live" | "waiting" | "refused";

/** One stretch of a phase, for the phase track: `ended` is null while it lasts. */
export interface PhaseSpan {
  phase: string;
  detail: string;
  unit: string;
  started: number;
  ended: number | null;
  done: number;
  total: number | null;
}

export interface RunView {
  runId: string;
  state: RunState | null;
  summary: RunSummary;
  /** Metric name to points; those of other stages are prefixed, as in the server's table: baseline/loss. */
  series: Record<string, Series>;
  samples: SampleRecorded[];
  /** Newest last, without steps, progress and samples. */
  log: StoredEvent[];
  /** Of the newest process of the run. */
  phases: PhaseSpan[];
  connection: Connection;
  /** When the server is tried again, in Unix seconds; only while waiting. */
  retryTime: number | null;
  /** Set when events are missing or a series cannot be cut: the stream then loads the run anew. */
  outOfStep: boolean;
}

export interface OpdState {
  runs: Record<string, RunView>;
  /** Ids in order of opening; the oldest views are forgotten. */
  order: string[];
}

export const emptySummary: RunSummary = {
  seq: 0,
  started: null,
  started_time: null,
  updated_time: null,
  phase: null,
  phase_done: 0,
  phase_total: null,
  phase_started_time: null,
  eta_s: null,
  step: 0,
  max_steps: 0,
  latest: {},
  stages: [],
  checkpoint_step: null,
  exactness: null,
  num_resumes: 0,
  alarms: [],
  evaluations: {},
  verdict: null,
  money: null,
  finished: null,
};

function emptyView(runId: string): RunView {
  return {
    runId,
    state: null,
    summary: emptySummary,
    series: {},
    samples: [],
    log: [],
    phases: [],
    connection: "connecting",
    retryTime: null,
    outOfStep: false,
  };
}

const initialState: OpdState = { runs: {}, order: [] };

export const opdSlice = createSlice({
  name: "opd",
  initialState,
  reducers: {
    /** A run is being watched; what was known of it stays. */
    runOpened(state, { payload: runId }: PayloadAction<string>) {
      state.runs[runId] ??= emptyView(runId);
      state.order = [...state.order.filter((id) => id !== runId), runId];
      for (const old of state.order.splice(0, Math.max(0, state.order.length - MAX_VIEWS))) delete state.runs[old];
    },
    /** Everything known of the run is replaced, to start from event 0 or from a long run's status and buckets. */
    runSeeded(
      state,
      {
        payload,
      }: PayloadAction<{
        status: RunStatus;
        /** Given for long runs: events up to `status.summary.seq` are then not replayed. */
        history?: { series: Record<string, Bucket[]>; samples: SampleRecorded[]; log: StoredEvent[] };
      }>,
    ) {
      const { status, history } = payload;
      const known = state.runs[status.run_id];
      const view: RunView = {
        ...emptyView(status.run_id),
        connection: known?.connection ?? "connecting",
        state: status.state,
      };
      if (history) {
        view.summary = status.summary;
        view.samples = history.samples.slice(-MAX_SAMPLES);
        view.log = history.log.filter(isNotable).slice(-MAX_LOG);
        for (const [name, buckets] of Object.entries(history.series)) view.series[name] = seriesFromBuckets(buckets);
      }
      state.runs[status.run_id] = view;
    },
    /** Events as received. Known ones are skipped; after a hole nothing is taken until the run is loaded anew. */
    eventsReceived(state, { payload }: PayloadAction<{ runId: string; items: StoredEvent[] }>) {
      const view = state.runs[payload.runId];
      if (!view) return;
      for (const stored of payload.items) {
        if (view.outOfStep || stored.seq > view.summary.seq + 1) {
          view.outOfStep = true;
          return;
        }
        if (stored.seq <= view.summary.seq) continue;
        apply(view, stored);
      }
    },
    stateChanged(state, { payload }: PayloadAction<{ runId: string; state: RunState }>) {
      const view = state.runs[payload.runId];
      if (view) view.state = payload.state;
    },
    connectionChanged(
      state,
      { payload }: PayloadAction<{ runId: string; connection: Connection; retryTime?: number }>,
    ) {
      const view = state.runs[payload.runId];
      if (!view) return;
      view.connection = payload.connection;
      view.retryTime = payload.retryTime ?? null;
    },
    runForgotten(state, { payload: runId }: PayloadAction<string>) {
      delete state.runs[runId];
      state.order = state.order.filter((id) => id !== runId);
    },
  },
  selectors: {
    selectRun: (state, runId: string | undefined): RunView | undefined => (runId ? state.runs[runId] : undefined),
  },
});

/** Metrics of stages that do not repeat steps after a resume; a plain slash does not tell: completion_tokens/mean. */
const OTHER_STAGES = /^(warm_start|baseline)\//;

/** The metric's name in charts and in the server's metrics table. */
export function metricName(stage: string, name: string): string {
  return stage === "distillation" ? name : `${stage}/${name}`;
}

function apply(view: RunView, stored: StoredEvent): void {
  const { event, seq, time } = stored;
  const before = view.summary.updated_time ?? time;
  const summary: RunSummary = { ...view.summary, seq, updated_time: time };
  view.summary = summary;
  switch (event.kind) {
    case "run_started":
      summary.started = event;
      summary.started_time = time;
      summary.max_steps = event.max_steps;
      break;
    case "run_resumed":
      summary.step = event.step;
      summary.exactness =
        summary.exactness === "continued" || event.exactness === "continued" ? "continued" : "exact";
      summary.finished = null;
      summary.num_resumes += 1;
      // Alarms of later steps come again; what a pause was about is over.
      summary.alarms = summary.alarms.filter((alarm) => alarm.step <= event.step && !PAUSE_ALARMS.has(alarm.code));
      closePhase(view, before);
      supersede(view, event.step);
      break;
    case "phase_started":
      summary.phase = event.phase;
      summary.phase_done = 0;
      summary.phase_total = event.total;
      summary.phase_started_time = time;
      summary.eta_s = null;
      closePhase(view, time);
      // A process of its own walks the phases anew: first start or resume.
      if (event.phase === "loading") view.phases = [];
      view.phases.push({
        phase: event.phase,
        detail: event.detail,
        unit: event.unit,
        started: time,
        ended: null,
        done: 0,
        total: event.total,
      });
      break;
    case "phase_progressed":
      summary.phase_done = event.done;
      summary.eta_s = event.eta_s;
      summary.phase_total = event.total ?? summary.phase_total;
      progress(view, event.done, event.total);
      break;
    case "step_logged":
      if (event.stage === "distillation") {
        summary.step = event.step;
        summary.latest = event.metrics;
      }
      for (const [name, value] of Object.entries(event.metrics)) {
        addPoint(view, event.stage, name, event.step, time, value);
      }
      break;
    case "stage_finished":
      summary.stages = [...summary.stages, event];
      break;
    case "sample_recorded":
      view.samples.push(event);
      if (view.samples.length > MAX_SAMPLES) view.samples.shift();
      break;
    case "checkpoint_saved":
      summary.checkpoint_step = event.step;
      break;
    case "alarm_raised":
      summary.alarms = [...summary.alarms, event].slice(-MAX_ALARMS);
      break;
    case "money_spent":
      summary.money = event;
      break;
    case "evaluation_finished":
      summary.evaluations = { ...summary.evaluations, [event.subject]: event };
      break;
    case "verdict_reached":
      summary.verdict = event;
      break;
    case "run_finished":
      summary.finished = event;
      summary.eta_s = null;
      closePhase(view, time);
      break;
    default:
      // A newer server may know more kinds; the page then knows less, and goes on.
      break;
  }
  if (isNotable(stored)) {
    view.log.push(stored);
    if (view.log.length > MAX_LOG) view.log.shift();
  }
}

/** Steps, progress and samples have their own places on the page. */
function isNotable(stored: StoredEvent): boolean {
  return !["step_logged", "phase_progressed", "sample_recorded"].includes(stored.event.kind);
}

function addPoint(
  view: RunView,
  stage: string,
  name: string,
  step: number,
  time: number,
  value: number | null,
): void {
  const key = metricName(stage, name);
  const series = (view.series[key] ??= emptySeries());
  if (step <= lastStep(series)) {
    // Fetched buckets may be newer than the replay: the step is there. Other stages begin anew for each candidate.
    if (stage === "distillation" || !truncateAfter(series, step - 1)) return;
  }
  appendPoint(series, step, time, value);
}

function supersede(view: RunView, step: number): void {
  for (const [name, series] of Object.entries(view.series)) {
    if (!OTHER_STAGES.test(name) && !truncateAfter(series, step)) view.outOfStep = true;
  }
  view.samples = view.samples.filter((sample) => sample.author !== "student" || sample.step <= step);
}

function closePhase(view: RunView, time: number): void {
  const open = view.phases.at(-1);
  if (open && open.ended === null) open.ended = time;
}

function progress(view: RunView, done: number, total: number | null): void {
  const open = view.phases.at(-1);
  if (!open) return;
  open.done = done;
  open.total = total ?? open.total;
}

export const { runOpened, runSeeded, eventsReceived, stateChanged, connectionChanged, runForgotten } =
  opdSlice.actions;
export const { selectRun } = opdSlice.selectors;
