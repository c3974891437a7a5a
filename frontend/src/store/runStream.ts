/**
 * The live connection to one run, outside Redux: a WebSocket that continues after the last event the slice has.
 *
 * Opening asks for the status; a long run is seeded from buckets, a short one replayed from event 1. Events are
 * dispatched together, a few times a second. A lost connection is tried again with growing pauses, from the cursor.
 */
import { opdApi } from "../api";
import type { StoredEvent, StreamFrame } from "../api/types";
import type { AppStore } from "./index";
import {
  connectionChanged,
  eventsReceived,
  runForgotten,
  runOpened,
  runSeeded,
  stateChanged,
} from "./slices/opdSlice";

/** Runs with more events than this are seeded from buckets instead of replayed. */
export const REPLAY_LIMIT = 5000;
const MAX_POINTS = 2000;
const LOG_TAIL = 1000;
/** Close codes of the server, see backend/opd/api/stream.py. */
const NO_SUCH_RUN = 4404;
const CURSOR_AHEAD = 4416;
const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 10_000;
/** Every frame would show nothing that five a second do not, and take a core from a run on the same machine. */
export const FLUSH_MS = 200;
/** While the tab is hidden there are no animation frames. */
const HIDDEN_FLUSH_MS = 1000;

/** The browser's parts that the stream needs; a test gives its own. */
export interface Surroundings {
  connect: (address: string) => WebSocket;
  /** Calls back before a frame is painted, and so often that eyes do not tire; answers how to cancel. */
  nextFrame: (callback: () => void) => () => void;
  after: (milliseconds: number, callback: () => void) => () => void;
  now: () => number;
  random: () => number;
  origin: string;
}

export function browserSurroundings(): Surroundings {
  let dueTime = 0;
  return {
    connect: (address) => new WebSocket(address),
    nextFrame(callback) {
      let frame = 0;
      const paint = () => {
        frame = window.requestAnimationFrame((time) => {
          dueTime = time + FLUSH_MS;
          callback();
        });
      };
      const pause = Math.max(0, dueTime - performance.now());
      const timer = document.hidden
        ? window.setTimeout(callback, HIDDEN_FLUSH_MS)
        : window.setTimeout(paint, pause);
      return () => {
        window.clearTimeout(timer);
        window.cancelAnimationFrame(frame);
      };
    },
    after(milliseconds, callback) {
      const timer = window.setTimeout(callback, milliseconds);
      return () => window.clearTimeout(timer);
    },
    now: () => Date.now() / 1000,
    random: Math.random,
    origin: window.location.origin,
  };
}

export class RunStream {
  private socket: WebSocket | null = null;
  private pending: StoredEvent[] = [];
  private cancelFrame: (() => void) | null = null;
  private cancelRetry: (() => void) | null = null;
  private attempts = 0;
  private closed = false;

  constructor(
    private readonly store: AppStore,
    private readonly runId: string,
    private readonly around: Surroundings = browserSurroundings(),
  ) {}

  /** Loads the run where it is not known yet, and follows it until `close`. */
  open(): void {
    const known = this.view();
    this.store.dispatch(runOpened(this.runId));
    if (known && known.summary.seq > 0 && !known.outOfStep) this.connect();
    else void this.load();
  }

  close(): void {
    this.closed = true;
    this.cancelFrame?.();
    this.cancelRetry?.();
    this.socket?.close();
  }

  /** Tries again at once instead of waiting out the pause. */
  retryNow(): void {
    if (!this.cancelRetry) return;
    this.cancelRetry();
    this.cancelRetry = null;
    void this.again();
  }

  private view() {
    return this.store.getState().opd.runs[this.runId];
  }

  private async load(): Promise<void> {
    const ask = { forceRefetch: true, subscribe: false };
    const { endpoints } = opdApi;
    const answer = await this.store.dispatch(endpoints.getStatus.initiate({ runId: this.runId }, ask));
    if (this.closed) return;
    const status = answer.data;
    // After a failure `data` is the last good answer: the error decides.
    if (answer.isError || !status) {
      this.failed(answer.error);
      return;
    }
    if (status.summary.seq <= REPLAY_LIMIT) {
      this.store.dispatch(runSeeded({ status }));
      this.connect();
      return;
    }
    const after = Math.max(0, status.summary.seq - LOG_TAIL);
    const [metrics, samples, log] = await Promise.all([
      this.store.dispatch(endpoints.getMetrics.initiate({ runId: this.runId, maxPoints: MAX_POINTS }, ask)),
      this.store.dispatch(endpoints.getSamples.initiate({ runId: this.runId }, ask)),
      this.store.dispatch(endpoints.getEvents.initiate({ runId: this.runId, after, limit: LOG_TAIL }, ask)),
    ]);
    if (this.closed) return;
    const error = metrics.error ?? samples.error ?? log.error;
    if (error || !metrics.data || !samples.data || !log.data) {
      this.failed(error);
      return;
    }
    const history = { series: metrics.data.series, samples: samples.data.items, log: log.data.items };
    this.store.dispatch(runSeeded({ status, history }));
    this.connect();
  }

  private failed(error: unknown): void {
    const status = typeof error === "object" && error !== null && "status" in error ? error.status : undefined;
    if (status === 404 || status === 401 || status === 403 || status === 422) {
      this.store.dispatch(connectionChanged({ runId: this.runId, connection: "refused" }));
      if (status === 404) this.store.dispatch(runForgotten(this.runId));
      return;
    }
    this.wait();
  }

  private connect(): void {
    const after = this.view()?.summary.seq ?? 0;
    const address = `${this.around.origin.replace(/^http/, "ws")}/api/opd/ws?run_id=${this.runId}&after=${after}`;
    this.setConnection(after === 0 ? "replaying" : "connecting");
    const socket = this.around.connect(address);
    this.socket = socket;
    socket.addEventListener("message", (message: MessageEvent<string>) => this.received(message.data));
    socket.addEventListener("close", ({ code }: CloseEvent) => {
      if (this.socket !== socket || this.closed) return;
      this.flush();
      if (code === NO_SUCH_RUN) this.failed({ status: 404 });
      else if (code === CURSOR_AHEAD) void this.load();
      else this.wait();
    });
  }

  private received(text: string): void {
    const frame = JSON.parse(text) as StreamFrame;
    switch (frame.type) {
      case "events":
        this.pending.push(...frame.items);
        this.cancelFrame ??= this.around.nextFrame(() => this.flush());
        break;
      case "state":
        this.flush();
        if (frame.state !== this.view()?.state) this.store.dispatch(opdApi.util.invalidateTags(["runs"]));
        this.store.dispatch(stateChanged({ runId: this.runId, state: frame.state }));
        break;
      case "caught_up":
        this.flush();
        this.attempts = 0;
        this.setConnection("live");
        break;
      default:
        // A newer server may say more; what this page knows does not depend on it.
        break;
    }
  }

  private flush(): void {
    this.cancelFrame?.();
    this.cancelFrame = null;
    if (this.pending.length) {
      const items = this.pending;
      this.pending = [];
      this.store.dispatch(eventsReceived({ runId: this.runId, items }));
    }
    if (this.view()?.outOfStep) {
      const socket = this.socket;
      this.socket = null;
      socket?.close();
      void this.load();
    }
  }

  private wait(): void {
    const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.attempts) * (0.75 + this.around.random() / 2);
    this.attempts += 1;
    this.store.dispatch(
      connectionChanged({ runId: this.runId, connection: "waiting", retryTime: this.around.now() + pause / 1000 }),
    );
    this.cancelRetry = this.around.after(pause, () => {
      this.cancelRetry = null;
      void this.again();
    });
  }

  /** Asks before connecting: a refused handshake looks like an absent server to a page. */
  private async again(): Promise<void> {
    const seq = this.view()?.summary.seq;
    if (!seq || this.view()?.outOfStep) {
      await this.load();
      return;
    }
    const request = opdApi.endpoints.getStatus.initiate({ runId: this.runId }, { forceRefetch: true, subscribe: false });
    const { data, error } = await this.store.dispatch(request);
    if (this.closed) return;
    if (error || !data) this.failed(error);
    else if (data.summary.seq < seq) await this.load();
    else this.connect();
  }

  private setConnection(connection: "connecting" | "replaying" | "live"): void {
    this.store.dispatch(connectionChanged({ runId: this.runId, connection }));
  }
}
