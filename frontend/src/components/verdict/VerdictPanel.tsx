/** The right column when a run has ended: did it help, how sure is that, and what now. */
import { Anchor, Button } from "@mantine/core";
import { lazy, Suspense } from "react";
import { Link, useNavigate } from "react-router";

import { useGetRunQuery, useResumeRunMutation } from "../../api";
import { problemOf } from "../../api/errors";
import type { EvaluationFinished, RunDetail, RunFailure, VerdictReached } from "../../api/types";
import { count, duration, signed, tied, usd } from "../../lib/format";
import type { RunView } from "../../store/slices/opdSlice";
import { wordFor } from "../../lib/words";
import { strings } from "../../strings";
import { diagnosticsText } from "../diagnostics";
import { RESUMABLE, secondsElapsed } from "../run/derive";
import { isShare, metricText } from "../run/eventWords";
import { Alarm } from "../run/NowPanel";
import side from "../run/side.module.css";
import { useNow } from "../run/useNow";
import { keepAsDraft } from "../setup/draftStorage";
import { CopyButton } from "../ui/CopyButton";
import { IconChat, IconPlus, IconResume } from "../ui/icons";
import { More } from "../ui/More";
import { FailureNotice, Notice } from "../ui/Notice";
import { Fact, Facts, Section } from "../ui/Section";
import { IntervalBars, type IntervalRow } from "./IntervalBars";
import { RaiseCap } from "./RaiseCap";
import classes from "./verdict.module.css";

const ExportPanel = lazy(async () => ({ default: (await import("./ExportPanel")).ExportPanel }));

const SUBJECTS = ["before", "sft", "after", "teacher"] as const;
const MAIN_METRICS = ["exact_match", "reverse_kl"];
const COLORS = { before: "var(--before)", sft: "var(--sft)", after: "var(--after)", teacher: "var(--teacher)" };

export function VerdictPanel({ view }: { view: RunView }) {
  const { currentData: run } = useGetRunQuery({ runId: view.runId });
  const { summary } = view;
  const ended = view.state === "done" ? null : <Ending view={view} run={run} />;
  return (
    <div className={side.side}>
      <section className={side.sideScroll} aria-label={strings.verdict.title} tabIndex={0}>
        {ended}
        {(summary.verdict || view.state === "done") && (
          <Section title={strings.verdict.title}>
            {summary.verdict ? <Headline verdict={summary.verdict} /> : <p className="dim">{strings.verdict.noVerdict}</p>}
          </Section>
        )}
        <Measures evaluations={summary.evaluations} />
        {summary.verdict && <Lines verdict={summary.verdict} />}
        <Notes view={view} />
        {run && <Results run={run} view={view} />}
        {run && hasStudent(run) && (
          <Suspense>
            <ExportPanel run={run} />
          </Suspense>
        )}
      </section>
      <div className={side.startBar}>
        <Next view={view} run={run} failure={failureOf(view, run)} />
      </div>
    </div>
  );
}

function Headline({ verdict }: { verdict: VerdictReached }) {
  const advice = verdict.conclusion === "not_measured" ? "" : wordFor(strings.verdict.recommended, verdict.recommended);
  const conclusion = wordFor(strings.verdict.conclusion, verdict.conclusion);
  const isSaid = verdict.headline.startsWith(conclusion);
  return (
    <div className={classes.headline} data-conclusion={verdict.conclusion}>
      {!isSaid && <span className={classes.conclusion}>{conclusion}</span>}
      <p data-testid="headline">{tied(verdict.headline)}</p>
      {advice && (
        <p className={classes.advice} data-testid="recommended">
          {advice}
        </p>
      )}
    </div>
  );
}

function failureOf(view: RunView, run: RunDetail | undefined): RunFailure | null {
  return run?.status.failure ?? view.summary.finished?.error ?? null;
}

/** Why a run ended without being done, and what is left of it. */
function Ending({ view, run }: { view: RunView; run: RunDetail | undefined }) {
  const failure = failureOf(view, run);
  const diagnostics = () => diagnosticsText({ failure, view });
  if (view.state === "failed" && failure) {
    return (
      <Section title={strings.verdict.failedTitle}>
        <FailureNotice failure={failure} diagnostics={diagnostics} />
      </Section>
    );
  }
  if (view.state === "interrupted" || view.state === "failed") {
    return (
      <Section title={strings.verdict.interruptedTitle}>
        <Notice
          tone="warn"
          title={failure?.message ?? strings.verdict.interruptedText}
          actions={<CopyButton text={diagnostics}>{strings.error.copy}</CopyButton>}
        >
          {failure?.hint && <p>{failure.hint}</p>}
        </Notice>
      </Section>
    );
  }
  const saved = view.summary.checkpoint_step !== null;
  return (
    <Section title={view.state === "paused" ? strings.verdict.pausedTitle : strings.verdict.stoppedTitle}>
      <Notice
        tone="info"
        title={view.state === "stopped" ? endedWords(view, saved) : view.summary.finished?.reason || endedWords(view, saved)}
      />
    </Section>
  );
}

function Measures({ evaluations }: { evaluations: Record<string, EvaluationFinished> }) {
  const found = SUBJECTS.flatMap((subject) => evaluations[subject] ?? []);
  const metrics = MAIN_METRICS.filter((metric) => found.some((evaluation) => evaluation.metrics[metric]));
  if (metrics.length === 0) return null;
  return (
    <div className={classes.measures}>
      {metrics.map((metric) => {
        const rows = found.flatMap((evaluation): IntervalRow[] => {
          const interval = evaluation.metrics[metric];
          const { subject } = evaluation;
          if (!interval || (metric === "reverse_kl" && subject === "teacher")) return [];
          return [
            {
              id: subject,
              label: wordFor(strings.verdict.subject, subject),
              help: wordFor(strings.verdict.subjectHelp, subject),
              color: COLORS[subject],
              isMain: subject === "after",
              ...interval,
            },
          ];
        });
        const high = Math.max(...rows.map((row) => row.high));
        return (
          <IntervalBars
            key={metric}
            title={strings.metric[metric]?.name ?? metric}
            help={strings.metric[metric]?.help ?? metric}
            rows={rows}
            domain={isShare(metric) ? [0, 1] : [0, high * 1.04]}
            format={(value) => metricText(metric, value)}
          />
        );
      })}
      <p className={side.fine}>{strings.verdict.intervalLegend}</p>
    </div>
  );
}

function Lines({ verdict }: { verdict: VerdictReached }) {
  if (verdict.lines.length === 0) return null;
  const groups = [...Map.groupBy(verdict.lines, (line) => line.metric)];
  const others = groups.filter(([metric]) => !MAIN_METRICS.includes(metric));
  return (
    <div className={classes.lines}>
      {groups
        .filter(([metric]) => MAIN_METRICS.includes(metric))
        .map(([metric, lines]) => (
          <LineGroup key={metric} metric={metric} lines={lines} />
        ))}
      {others.length > 0 && (
        <More title={strings.verdict.more(others.length)}>
          <div className={classes.moreLines}>
            {others.map(([metric, lines]) => (
              <LineGroup key={metric} metric={metric} lines={lines} />
            ))}
          </div>
        </More>
      )}
    </div>
  );
}

function LineGroup({ metric, lines }: { metric: string; lines: VerdictReached["lines"] }) {
  return (
    <div className={classes.lineGroup}>
      <p title={strings.metric[metric]?.help}>{strings.metric[metric]?.name ?? metric}</p>
      {lines.map((line) => {
        const { mean, low, high } = line.difference;
        const interval = strings.verdict.difference(differenceText(metric, low), differenceText(metric, high));
        return (
          <div key={line.baseline} className={classes.line} data-conclusion={line.conclusion}>
            <span className="dim">{wordFor(strings.verdict.versus, line.baseline)}</span>
            <span className="num" title={interval}>
              {differenceText(metric, mean)}
            </span>
            <span className={classes.lineWord}>{wordFor(strings.verdict.short, line.conclusion)}</span>
          </div>
        );
      })}
    </div>
  );
}

/** A difference of shares is in points, not in percent. */
function differenceText(metric: string, number: number): string {
  const plain = isShare(metric) ? strings.verdict.points((number * 100).toFixed(1)) : metricText(metric, number);
  return signed(plain, number);
}

function Notes({ view }: { view: RunView }) {
  const { verdict, evaluations, exactness, num_resumes: numResumes, alarms } = view.summary;
  const notes = [
    ...(verdict?.notes ?? []),
    ...(evaluations.sft ? [strings.verdict.baselineNote] : []),
    ...(numResumes > 0 && exactness ? [strings.verdict[exactness]] : []),
  ];
  if (notes.length === 0 && alarms.length === 0) return null;
  return (
    <Section title={strings.verdict.notes}>
      <ul className={classes.notes}>
        {notes.map((note) => (
          <li key={note}>{note}</li>
        ))}
      </ul>
      <div className={side.alarms}>
        {alarms
          .slice(-3)
          .toReversed()
          .map((alarm) => (
            <Alarm key={`${alarm.code} ${alarm.step}`} alarm={alarm} />
          ))}
      </div>
    </Section>
  );
}

const REPORTS = [
  ["html", strings.verdict.asHtml],
  ["md", strings.verdict.asMarkdown],
  ["json", strings.verdict.asJson],
] as const;

const hasStudent = (run: RunDetail) => run.files.some((file) => file.name === "student/config.json");

/** The folder of the model to take: what the verdict recommends where that is another than the trained student. */
const studentFolder = (run: RunDetail) =>
  `${run.path}/${run.files.some((file) => file.name === "recommended/config.json") ? "recommended" : "student"}`;

function Results({ run, view }: { run: RunDetail; view: RunView }) {
  const reports = REPORTS.filter(([format]) => run.files.some((file) => file.name === `report.${format}`));
  const { summary } = view;
  const now = useNow(false);
  return (
    <Section title={strings.verdict.facts}>
      <Facts>
        <Fact name={strings.setup.steps}>
          {count(summary.step)} / {count(summary.max_steps || run.config.max_steps)}
        </Fact>
        <Fact name={strings.runs.took}>{duration(secondsElapsed(view, now))}</Fact>
        {summary.money && <Fact name={strings.now.spent}>{usd(summary.money.spent_nano_usd / 1e9)}</Fact>}
        {reports.length > 0 && (
          <Fact name={strings.verdict.report}>
            <span className={classes.links}>
              {reports.map(([format, label]) => (
                <Anchor
                  key={format}
                  size="sm"
                  href={`/api/runs/${run.status.run_id}/report?format=${format}`}
                  target="_blank"
                  rel="noreferrer"
                >
                  {label}
                </Anchor>
              ))}
            </span>
          </Fact>
        )}
        {hasStudent(run) && (
          <Fact name={strings.verdict.student}>
            <CopyButton size="compact-xs" text={studentFolder(run)}>
              {strings.verdict.copyPath}
            </CopyButton>
          </Fact>
        )}
      </Facts>
    </Section>
  );
}

function Next({ view, run, failure }: { view: RunView; run: RunDetail | undefined; failure: RunFailure | null }) {
  const navigate = useNavigate();
  const [resume, { isLoading, error }] = useResumeRunMutation();
  const problem = problemOf(error);
  const canResume = view.state !== null && RESUMABLE.includes(view.state);
  const checkpoint = view.summary.checkpoint_step;
  // A run that failed under an older version has none.
  const fixes = (failure?.fixes as RunFailure["fixes"] | undefined) ?? [];
  return (
    <>
      {problem && <FailureNotice failure={problem} diagnostics={() => diagnosticsText({ failure: problem, view })} />}
      {canResume && failure?.code === "budget_reached" && <RaiseCap runId={view.runId} />}
      {canResume && failure?.code !== "budget_reached" && (
        <>
          {fixes.map((fix, at) => (
            <Button
              key={fix.words}
              fullWidth
              classNames={{ root: classes.offer, label: classes.offerLabel }}
              size={at === 0 ? "md" : "sm"}
              variant={at === 0 ? "filled" : "default"}
              leftSection={<IconResume size={16} />}
              loading={isLoading}
              title={strings.verdict.continuedHint}
              onClick={() => void resume({ runId: view.runId, resumeRequest: { fix: at + 1 } })}
            >
              {strings.verdict.applyAndResume(fix.words)}
            </Button>
          ))}
          <p className={side.startHint}>
            {checkpoint === null ? strings.verdict.resumeFromStart : strings.verdict.resumeHint(checkpoint)}
          </p>
          <Button
            fullWidth
            size={fixes.length > 0 ? "sm" : "md"}
            variant={fixes.length > 0 ? "default" : "filled"}
            leftSection={<IconResume size={16} />}
            loading={isLoading}
            onClick={() => void resume({ runId: view.runId, resumeRequest: {} })}
          >
            {strings.verdict.resume}
          </Button>
        </>
      )}
      {run && hasStudent(run) && (
        <Button
          fullWidth
          size="sm"
          variant="default"
          component={Link}
          to={`/runs/${view.runId}/chat`}
          leftSection={<IconChat size={16} />}
        >
          {strings.chat.open}
        </Button>
      )}
      <Button
        fullWidth
        size={canResume ? "sm" : "md"}
        variant="default"
        leftSection={<IconPlus size={16} />}
        disabled={!run}
        onClick={() => {
          if (!run) return;
          keepAsDraft(run.config);
          void navigate("/opd");
        }}
      >
        {strings.verdict.again}
      </Button>
    </>
  );
}

function endedWords(view: RunView, saved: boolean): string {
  const words = strings.verdict;
  const { step } = view.summary;
  if (view.state === "paused") return saved ? words.pausedSavedText(step) : words.pausedText;
  return saved ? words.stoppedText(step) : words.discardedText(step);
}
