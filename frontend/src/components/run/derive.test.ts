import { describe, expect, it } from "vitest";

import type { RunConfig, RunEvent, RunState, SampleRecorded } from "../../api/types";
import { eventsReceived, opdSlice, runOpened, type RunView, stateChanged } from "../../store/slices/opdSlice";
import { doingNow, phaseEta, phaseSteps, probePrompts } from "./derive";

const CONFIG = {
  on_policy_fraction: 1,
  warm_start: { steps: 0 },
  baseline: { enabled: true },
  evaluation: { enabled: true },
} as RunConfig;

type Phase = Extract<RunEvent, { kind: "phase_started" }>["phase"];

function phase(name: Phase, total: number | null = null): RunEvent {
  return { kind: "phase_started", phase: name, total, unit: "", detail: "" };
}

function viewOf(events: RunEvent[], state: RunState = "running"): RunView {
  const items = events.map((event, at) => ({ seq: at + 1, time: 100 + at, event }));
  let found = opdSlice.reducer(undefined, runOpened("r"));
  found = opdSlice.reducer(found, eventsReceived({ runId: "r", items }));
  return opdSlice.reducer(found, stateChanged({ runId: "r", state })).runs.r!;
}

function track(view: RunView) {
  return phaseSteps(view, CONFIG, 200).map((step) => `${step.phase}: ${step.status}`);
}

const WALK: RunEvent[] = [phase("loading"), phase("evaluating_before", 400), phase("answering"), phase("distilling", 200)];

describe("what the run does now", () => {
  it("claims a grade for every token only where the teacher gives one", () => {
    expect(doingNow("distilling", { ...CONFIG, teacher: { type: "local" } } as RunConfig)).toContain("every token");
    for (const type of ["mark", "contrast", "guided", "imitation"]) {
      const words = doingNow("distilling", { ...CONFIG, teacher: { type: "chat" }, objective: { type } } as RunConfig);
      expect(words).toMatch(/^The student/);
      expect(words).not.toContain("token");
    }
  });

  it("has words for a phase that it does not know yet", () => {
    expect(doingNow("of_a_newer_server", CONFIG)).toContain("Loading");
  });
});

describe("the track of phases", () => {
  it("shows what was, what is and what is to come, in an order that does not change", () => {
    const progressed: RunEvent = { kind: "phase_progressed", phase: "distilling", done: 50, total: null, eta_s: null };
    const view = viewOf([...WALK, progressed]);
    expect(track(view)).toEqual([
      "loading: done",
      "evaluating_before: done",
      "answering: done",
      "distilling: active",
      "evaluating_after: ahead",
      "baseline: ahead",
      "finalizing: ahead",
    ]);
    expect(phaseSteps(view, CONFIG, 200)[3]).toMatchObject({ share: 0.25, seconds: 97 });

    // The baseline is measured after the student was: the track does not jump for it.
    const late = viewOf([...WALK, phase("evaluating_after"), phase("baseline"), phase("evaluating_after")]);
    expect(track(late).slice(4)).toEqual(["evaluating_after: active", "baseline: done", "finalizing: ahead"]);
  });

  it("starts with the first phase before anything was heard, and ends with all of them", () => {
    expect(track(viewOf([]))[0]).toBe("loading: active");
    const end: RunEvent = { kind: "run_finished", outcome: "done", step: 200, reason: "", error: null };
    expect(track(viewOf([...WALK, end], "done")).every((step) => step.endsWith("done"))).toBe(true);
  });

  it("walks anew after a resume, without forgetting what was done before", () => {
    const resumed: RunEvent = { kind: "run_resumed", step: 60, exactness: "exact", reason: "" };
    const view = viewOf([...WALK, phase("loading"), resumed]);
    expect(track(view).slice(0, 4)).toEqual([
      "loading: active",
      "evaluating_before: ahead",
      "answering: ahead",
      "distilling: ahead",
    ]);
    const further = viewOf([...WALK, phase("loading"), resumed, phase("distilling", 200)]);
    expect(track(further).slice(0, 4)).toEqual([
      "loading: done",
      "evaluating_before: done",
      "answering: done",
      "distilling: active",
    ]);
  });

  it("says where a run came to a halt, and finds room for phases of a newer server", () => {
    expect(track(viewOf(WALK, "interrupted"))[3]).toBe("distilling: halted");
    const unknown = phase("polishing" as Phase);
    expect(track(viewOf([...WALK, unknown])).slice(3, 5)).toEqual(["distilling: done", "polishing: active"]);
  });
});

describe("time left", () => {
  const progress = (done: number, eta: number | null): RunEvent => ({
    kind: "phase_progressed",
    phase: "distilling",
    done,
    total: 200,
    eta_s: eta,
  });

  it("is what the run says, less the time since", () => {
    expect(phaseEta(viewOf([phase("distilling", 200), progress(50, 30)]), 111)).toBe(20);
  });

  it("else follows the pace so far", () => {
    expect(phaseEta(viewOf([phase("distilling", 200), progress(50, null)]), 101)).toBe(3);
    expect(phaseEta(viewOf([phase("distilling", 200)]), 101)).toBeNull();
  });
});

it("groups answers by prompt, one for each step, in order", () => {
  const sample = (step: number, text: string, author: SampleRecorded["author"] = "student"): SampleRecorded => ({
    kind: "sample_recorded",
    step,
    author,
    prompt_id: "p",
    prompt: "q",
    text,
    expected: "1",
    correct: null,
    tokens: [],
  });
  const [prompt] = probePrompts([sample(50, "b"), sample(0, "a"), sample(50, "c"), sample(0, "t", "teacher")]);
  expect(prompt?.student.map((found) => found.text)).toEqual(["a", "c"]);
  expect(prompt?.teacher?.text).toBe("t");
});
