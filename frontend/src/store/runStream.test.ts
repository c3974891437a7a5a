import { afterEach, describe, expect, it, vi } from "vitest";

import type { RunStatus, StoredEvent } from "../api/types";
import { makeStore } from "./index";
import { browserSurroundings, FLUSH_MS, REPLAY_LIMIT, RunStream, type Surroundings } from "./runStream";
import { emptySummary } from "./slices/opdSlice";

const RUN = "20261123-152233-1f0c";

/** A socket on a string: what the server would do is done by hand. */
class Line extends EventTarget {
  closed = false;
  constructor(readonly address: string) {
    super();
  }
  close() {
    this.closed = true;
  }
  sends(frame: object) {
    this.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(frame) }));
  }
  breaks(code = 1006) {
    this.dispatchEvent(new CloseEvent("close", { code }));
  }
}

function stage(status: Partial<RunStatus> | number) {
  const lines: Line[] = [];
  const frames: (() => void)[] = [];
  const pauses: { milliseconds: number; callback: () => void }[] = [];
  let answer = status;
  const fetched: string[] = [];
  vi.stubGlobal("fetch", async (input: Request) => {
    const { pathname } = new URL(input.url);
    fetched.push(pathname);
    if (typeof answer === "number") {
      return Response.json({ error: { code: "x", message: "", hint: "", details: {} } }, { status: answer });
    }
    if (pathname.endsWith("/metrics")) {
      const bucket = { first_step: 1, last_step: 900, time: 1, min: 0, max: 9, mean: 1, num: 900, num_missing: 0 };
      return Response.json({ run_id: RUN, last_step: 900, series: { loss: [bucket] } });
    }
    if (pathname.endsWith("/samples") || pathname.endsWith("/events")) return Response.json({ run_id: RUN, items: [] });
    return Response.json({
      run_id: RUN,
      name: "demo",
      state: "running",
      created_time: 1,
      resumable: false,
      failure: null,
      eta_s: null,
      seconds_elapsed: 1,
      summary: emptySummary,
      ...answer,
    } satisfies RunStatus);
  });
  const around: Surroundings = {
    connect: (address) => {
      const line = new Line(address);
      lines.push(line);
      return line as unknown as WebSocket;
    },
    nextFrame: (callback) => {
      frames.push(callback);
      return () => frames.splice(frames.indexOf(callback), 1);
    },
    after: (milliseconds, callback) => {
      pauses.push({ milliseconds, callback });
      return () => {};
    },
    now: () => 5000,
    random: () => 0.5,
    origin: "http://127.0.0.1:8123",
  };
  const store = makeStore();
  const stream = new RunStream(store, RUN, around);
  stream.open();
  const view = () => store.getState().opd.runs[RUN];
  return {
    lines,
    frames,
    pauses,
    fetched,
    store,
    stream,
    view,
    answerWith: (next: typeof status) => {
      answer = next;
    },
    line: async (at: number) => vi.waitFor(() => lines[at] ?? Promise.reject(new Error("no connection yet"))),
  };
}

function steps(from: number, to: number): StoredEvent[] {
  return Array.from({ length: to - from + 1 }, (_, at) => ({
    seq: from + at,
    time: 1000 + at,
    event: { kind: "step_logged", stage: "distillation", step: from + at, metrics: { loss: 1 } },
  }));
}

afterEach(() => vi.unstubAllGlobals());

describe("the live connection", () => {
  it("replays a short run from its first event and dispatches once a frame", async () => {
    const { line, frames, view, store } = stage({});
    const socket = await line(0);
    expect(socket.address).toBe(`ws://127.0.0.1:8123/api/opd/ws?run_id=${RUN}&after=0`);
    let changes = 0;
    store.subscribe(() => (changes += 1));
    socket.sends({ type: "events", items: steps(1, 500) });
    socket.sends({ type: "events", items: steps(501, 700) });
    expect([changes, frames.length]).toEqual([0, 1]);
    frames.shift()?.();
    expect(changes).toBe(1);
    expect(view()?.summary.step).toBe(700);
    socket.sends({ type: "caught_up", seq: 700 });
    expect(view()?.connection).toBe("live");
  });

  it("seeds a long run from buckets and follows from its cursor", async () => {
    const { line, fetched, view } = stage({ summary: { ...emptySummary, seq: REPLAY_LIMIT + 1, step: 900 } });
    const socket = await line(0);
    expect(socket.address).toContain(`after=${REPLAY_LIMIT + 1}`);
    expect(fetched).toEqual(expect.arrayContaining(["/api/opd/metrics", "/api/opd/events"]));
    expect(view()?.series.loss?.last).toEqual([900]);
  });

  it("comes back from the cursor after a break, with growing pauses, losing and doubling nothing", async () => {
    const { line, pauses, view, answerWith } = stage({});
    const first = await line(0);
    first.sends({ type: "events", items: steps(1, 10) });
    first.breaks();
    expect(view()?.connection).toBe("waiting");
    expect(view()?.summary.step).toBe(10);
    answerWith(502);
    pauses[0]?.callback();
    await vi.waitFor(() => expect(pauses).toHaveLength(2));
    expect(pauses[1]!.milliseconds).toBe(2 * pauses[0]!.milliseconds);
    answerWith({ summary: { ...emptySummary, seq: 14, step: 14 } });
    pauses[1]?.callback();
    const second = await line(1);
    expect(second.address).toContain("after=10");
    second.sends({ type: "events", items: steps(9, 14) });
    second.sends({ type: "caught_up", seq: 14 });
    expect(view()?.series.loss?.last).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
  });

  it("loads the run anew after a hole", async () => {
    const { line, frames } = stage({});
    const first = await line(0);
    first.sends({ type: "events", items: steps(5, 6) });
    frames.shift()?.();
    expect(first.closed).toBe(true);
    const second = await line(1);
    expect(second.address).toContain("after=0");
  });

  it("follows the derived state", async () => {
    const { line, view } = stage({});
    const socket = await line(0);
    socket.sends({ type: "state", run_id: RUN, state: "stopping" });
    expect(view()?.state).toBe("stopping");
  });

  it("does not insist where it is refused", async () => {
    const { view, pauses, lines } = stage(401);
    await vi.waitFor(() => expect(view()?.connection).toBe("refused"));
    expect([pauses.length, lines.length]).toEqual([0, 0]);
  });

  it("forgets a run that was deleted", async () => {
    const { line, view } = stage({});
    (await line(0)).breaks(4404);
    expect(view()).toBeUndefined();
  });

  it("says no more after it was closed", async () => {
    const { line, stream, view, pauses } = stage({});
    const socket = await line(0);
    stream.close();
    expect(socket.closed).toBe(true);
    socket.breaks();
    expect(pauses).toHaveLength(0);
    expect(view()?.connection).not.toBe("waiting");
  });
});

describe("the browser's frames", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("show the first news at once and later ones a few times a second", () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame", "performance"] });
    const { nextFrame } = browserSurroundings();
    const times: number[] = [];
    const show = () => times.push(performance.now());
    nextFrame(show);
    vi.advanceTimersByTime(50);
    expect(times).toHaveLength(1);
    nextFrame(show);
    vi.advanceTimersByTime(FLUSH_MS / 2);
    expect(times).toHaveLength(1);
    vi.advanceTimersByTime(FLUSH_MS);
    expect(times).toHaveLength(2);
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(FLUSH_MS);
    nextFrame(show)();
    vi.advanceTimersByTime(10 * FLUSH_MS);
    expect(times).toHaveLength(2);
  });
});
