/** Names for the generated shapes. Nothing is typed by hand here: each is a part of schema.gen. */
import type { CaughtUpFrame, EventsFrame, RunStatus, StartRequest, StateFrame, StoredEvent } from "./schema.gen";

export type {
  AlarmRaised,
  Bucket,
  ChatTeacher,
  Comparison,
  ConfigCheck,
  ConfigSchema,
  DataReport,
  DatasetDetail,
  DatasetItem,
  Estimate,
  EvaluationFinished,
  ExportRecord,
  Interval,
  KeyPresence,
  LocalModel,
  Machine,
  MoneySpent,
  PaidModel,
  Preflight,
  PreflightItem,
  Preset,
  Rendering,
  RunBudget,
  RunConfig,
  RunDetail,
  RunListItem,
  RunStatus,
  RunSummary,
  SampleRecorded,
  StageFinished,
  StoredEvent,
  Teachers,
  UploadAnswer,
  VerdictReached,
  Written,
} from "./schema.gen";

/** What the WebSocket sends. */
export type StreamFrame = StateFrame | EventsFrame | CaughtUpFrame;
export type RunEvent = StoredEvent["event"];
export type RunState = RunStatus["state"];
export type RunFailure = NonNullable<RunStatus["failure"]>;
/** A configuration as it is sent: what has a default may be left out. */
export type RunConfigInput = NonNullable<StartRequest["config"]>;
