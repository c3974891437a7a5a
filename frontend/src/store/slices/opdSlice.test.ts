import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { RunEvent, RunStatus, StoredEvent } from "../../api/types";
import {
  emptySummary,
  eventsReceived,
  MAX_LOG,
  opdSlice,
  type OpdState,
  runOpened,
  runSeeded,
  stateChanged,
} from "./opdSlice";

const RUN = "20261123-152233-1f0c";

function step(at: number, metrics: Record<string, number | null> = { loss: 1 / at }): RunEvent {
  return { kind: "step_logged", stage: "distillation", step: at, metrics };
}

function resumed(at: number, exactness: "exact" | "continued" = "exact"): RunEvent {
  return { kind: "run_resumed", step: at, exactness, reason: "killed" };
}

function started(): RunEvent {
  return {
    kind: "run_started",
    name: "demo",
    student: "s",
    teacher: "t",
    signal: "full next-token distribution",
    max_steps: 200,
    num_prompts: 119,
    num_test_prompts: 400,
    versions: {},
    device: "cpu",
  };
}

function numbered(events: RunEvent[], from = 1): StoredEvent[] {
  return events.map((event, at) => ({ seq: from + at, time: 1000 + from + at, event }));
}

function opened(): OpdState {
  return opdSlice.reducer(undefined, runOpened(RUN));
}

function received(state: OpdState, items: StoredEvent[]): OpdState {
  return opdSlice.reducer(state, eventsReceived({ runId: RUN, items }));
}

function view(state: OpdState) {
  const found = state.runs[RUN];
  if (!found) throw new Error("the run is not there");
  return found;
}

function status(seq: number, lastStep: number): RunStatus {
  return {
    run_id: RUN,
    name: "demo",
    state: "running",
    created_time: 1000,
    resumable: false,
    failure: null,
    summary: { ...emptySummary, seq, step: lastStep },
    eta_s: null,
    seconds_elapsed: 1,
  };
}

describe("points 1..N exactly once", () => {
  it("whatever is delivered twice, in whatever batches", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 80 }),
        fc.array(fc.tuple(fc.nat(80), fc.nat(30)), { maxLength: 20 }),
        (num, cuts) => {
          const all = numbered(Array.from({ length: num }, (_, at) => step(at + 1)));
          let state = opened();
          for (const [back, length] of cuts) {
            // A reconnect replays from some cursor that is not ahead of what we have.
            const from = Math.max(0, view(state).summary.seq - back);
            state = received(state, all.slice(from, from + length));
          }
          state = received(state, all.slice(view(state).summary.seq));
          expect(view(state).series.loss?.last).toEqual(Array.from({ length: num }, (_, at) => at + 1));
          expect(view(state).outOfStep).toBe(false);
        },
      ),
    );
  });

  it("after a resume that repeats steps", () => {
    const both = (loss: number) => ({ loss, "completion_tokens/mean": loss });
    const first = [step(1, both(1)), step(2, both(2)), step(3, both(3)), resumed(1)];
    const again = [step(2, both(20)), step(3, both(30)), step(4, both(40))];
    const { series, summary } = view(received(opened(), numbered([...first, ...again])));
    expect(series["completion_tokens/mean"]).toEqual(series.loss);
    expect(series.loss?.last).toEqual([1, 2, 3, 4]);
    expect(series.loss?.mean.slice(1, 3)).toEqual([20, 30]);
    expect(summary.step).toBe(4);
  });

  it("when fetched buckets are newer than the replay", () => {
    const bucket = (at: number) => ({
      first_step: at,
      last_step: at,
      time: at,
      min: 1,
      max: 1,
      mean: 1,
      num: 1,
      num_missing: 0,
    });
    let state = opdSlice.reducer(
      opened(),
      runSeeded({
        status: status(10, 3),
        history: { series: { loss: [1, 2, 3, 4, 5].map(bucket) }, samples: [], log: [] },
      }),
    );
    state = received(state, numbered([step(4), step(5), step(6)], 11));
    expect(view(state).series.loss?.last).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

describe("the fold", () => {
  it("stops at a hole and says so", () => {
    const items = numbered([step(1), step(2), step(3)]);
    const state = received(opened(), [items[0]!, items[2]!]);
    expect(view(state).outOfStep).toBe(true);
    expect(view(state).summary.seq).toBe(1);
  });

  it("asks to be loaded anew when a resume cuts through a bucket", () => {
    const wide = { first_step: 1, last_step: 50, time: 1, min: 0, max: 1, mean: 0.5, num: 50, num_missing: 0 };
    let state = opdSlice.reducer(
      opened(),
      runSeeded({ status: status(60, 50), history: { series: { loss: [wide] }, samples: [], log: [] } }),
    );
    state = received(state, numbered([resumed(25)], 61));
    expect(view(state).outOfStep).toBe(true);
  });

  it("keeps the weakest exactness and forgets the end on a resume", () => {
    const end: RunEvent = { kind: "run_finished", outcome: "stopped", step: 2, reason: "", error: null };
    const before = view(received(opened(), numbered([started(), step(1), step(2), end])));
    expect(before.summary.finished?.outcome).toBe("stopped");
    const events = [started(), step(1), step(2), end, resumed(2, "continued"), resumed(2, "exact")];
    const { summary } = view(received(opened(), numbered(events)));
    expect(summary).toMatchObject({ finished: null, exactness: "continued", num_resumes: 2, max_steps: 200 });
  });

  it("measures phases from start to the next, and ends the last one with the run", () => {
    const phase = (name: "loading" | "distilling", total: number | null): RunEvent => ({
      kind: "phase_started",
      phase: name,
      total,
      unit: "steps",
      detail: "",
    });
    const events: RunEvent[] = [
      phase("loading", null),
      phase("distilling", 200),
      { kind: "phase_progressed", phase: "distilling", done: 40, total: null, eta_s: 12 },
      { kind: "run_finished", outcome: "done", step: 200, reason: "", error: null },
    ];
    const found = view(received(opened(), numbered(events)));
    expect(found.phases.map((span) => [span.phase, span.started, span.ended, span.done, span.total])).toEqual([
      ["loading", 1001, 1002, 0, null],
      ["distilling", 1002, 1004, 40, 200],
    ]);
    expect(found.summary).toMatchObject({ phase: "distilling", phase_done: 40, phase_total: 200, eta_s: null });
  });

  it("keeps other stages apart, and a stage's second candidate replaces its first", () => {
    const baseline = (at: number, loss: number): RunEvent => ({
      kind: "step_logged",
      stage: "baseline",
      step: at,
      metrics: { loss },
    });
    const events = [baseline(1, 9), baseline(2, 8), baseline(3, 7), baseline(1, 5), baseline(2, 4), step(1)];
    const { series, summary } = view(received(opened(), numbered(events)));
    expect(series["baseline/loss"]?.mean).toEqual([5, 4]);
    expect(series.loss?.last).toEqual([1]);
    expect(summary.step).toBe(1);
  });

  it("takes a missing value for a gap", () => {
    const { series } = view(received(opened(), numbered([step(1, { loss: null }), step(2)])));
    expect(series.loss?.mean).toEqual([null, 0.5]);
  });

  it("goes on after an event of a newer server", () => {
    const unknown = { kind: "planet_aligned", moons: 4 } as unknown as RunEvent;
    const { summary, log } = view(received(opened(), numbered([unknown, step(1)])));
    expect(summary).toMatchObject({ seq: 2, step: 1 });
    expect(log).toHaveLength(1);
  });

  it("bounds the log and leaves out steps and progress", () => {
    const alarm = (at: number): RunEvent => ({
      kind: "alarm_raised",
      code: "length",
      severity: "warning",
      step: at,
      what: "",
      why: "",
      advice: "",
      remedies: [],
    });
    const events = Array.from({ length: MAX_LOG + 20 }, (_, at) => [alarm(at), step(at + 1)]).flat();
    const { log, summary } = view(received(opened(), numbered(events)));
    expect(log).toHaveLength(MAX_LOG);
    expect(log.every((stored) => stored.event.kind === "alarm_raised")).toBe(true);
    expect(summary.alarms).toHaveLength(50);
  });
});

it("forgets the views that were opened longest ago", () => {
  let state = opened();
  for (const id of ["a", "b", "c", "d"]) state = opdSlice.reducer(state, runOpened(id));
  expect(Object.keys(state.runs).toSorted()).toEqual(["a", "b", "c", "d"]);
  expect(opdSlice.reducer(state, stateChanged({ runId: RUN, state: "done" }))).toEqual(state);
});
