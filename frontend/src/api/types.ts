/** Names for the generated shapes. Nothing is typed by hand here: each is a part of schema.gen. */
import type { CaughtUpFrame, ChatPiece, EventsFrame, RunStatus, StartRequest, StateFrame, StoredEvent, Voice } from "./schema.gen";

export type {
  AlarmRaised,
  Bucket,
  Chat,
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
  Question,
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
  Turn,
  UploadAnswer,
  VerdictReached,
  Voice,
  Written,
} from "./schema.gen";

/** What a line of an answer in the playground holds. */
export type AnswerPiece = ChatPiece["piece"];
export type Who = Voice["who"];
/** What the WebSocket sends. */
export type StreamFrame = StateFrame | EventsFrame | CaughtUpFrame;
export type RunEvent = StoredEvent["event"];
export type RunState = RunStatus["state"];
export type RunFailure = NonNullable<RunStatus["failure"]>;
/** A configuration as it is sent: what has a default may be left out. */
export type RunConfigInput = NonNullable<StartRequest["config"]>;
