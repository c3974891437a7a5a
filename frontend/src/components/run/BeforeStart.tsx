/** The right column of a new run: what is ready, what it will take, and Start. */
import { Anchor, Button, Loader, Progress } from "@mantine/core";
import { lazy, Suspense } from "react";
import { Link } from "react-router";

import { useEstimateCostQuery, useListRunsQuery, usePreflightQuery } from "../../api";
import { busyRunId, openTerms, problemOf } from "../../api/errors";
import type { Estimate, PreflightItem, RunConfig } from "../../api/types";
import { bytes, DASH, durationRange } from "../../lib/format";
import { strings } from "../../strings";
import { diagnosticsText } from "../diagnostics";
import type { Draft } from "../setup/useDraft";
import { IconCheck, IconCross, IconPlay, IconWarn } from "../ui/icons";
import { More } from "../ui/More";
import { FailureNotice, Notice } from "../ui/Notice";
import { Section } from "../ui/Section";
import { useStart } from "../useStart";
import classes from "./BeforeStart.module.css";
import side from "./side.module.css";
import { TeacherCost } from "./TeacherCost";
import { TermsNotice } from "./TermsNotice";

/** Not needed for the first paint. */
const CopyAs = lazy(async () => ({ default: (await import("./CopyAs")).CopyAs }));

const ICONS = { ok: IconCheck, warn: IconWarn, fail: IconCross };

export function BeforeStart({ draft }: { draft: Draft }) {
  const { config } = draft;
  const skip = !config;
  const checks = usePreflightQuery({ preflightRequest: { config: config ?? emptyConfig } }, { skip });
  const cost = useEstimateCostQuery({ estimateRequest: { config } }, { skip });
  const { data: runs } = useListRunsQuery({});
  const { start, isStarting, problem, dismiss } = useStart();
  const active = runs?.items.find((run) => run.state === "running" || run.state === "stopping");
  const items = config ? (checks.currentData?.items ?? []) : [];
  const numFails = items.filter((item) => item.status === "fail").length;
  const fieldProblems = Object.entries(draft.problems);
  const holder = problem ? busyRunId(problem) : null;
  const terms = problem ? openTerms(problem) : null;
  const mayStart = config !== null && numFails === 0 && !active && !checks.isFetching;

  return (
    <div className={side.side}>
      <section className={side.sideScroll} aria-label={strings.before.title} tabIndex={0}>
        <Section title={strings.before.title} aside={config && <Suspense><CopyAs draft={draft} /></Suspense>}>
          {!draft.isComplete && <p className="dim">{strings.setup.incomplete}</p>}
          {fieldProblems.length > 0 && (
            <Notice tone="bad" title={strings.before.problems}>
              <ul className={classes.list}>
                {fieldProblems.map(([path, message]) => (
                  <li key={path}>
                    <span className="mono">{path}</span>: {message}
                  </li>
                ))}
              </ul>
            </Notice>
          )}
          {draft.isComplete && fieldProblems.length === 0 && (
            <Checks items={items} isLoading={checks.isFetching || !config} />
          )}
          {checks.error && config && <ProblemOf error={checks.error} />}
        </Section>
        <Costs
          config={config}
          estimate={config ? cost.currentData : undefined}
          error={config ? cost.error : undefined}
          onAsked={() => void cost.refetch()}
        />
      </section>
      <div className={side.startBar}>
        {terms && config && (
          <TermsNotice terms={terms} isStarting={isStarting} onDismiss={dismiss} onAccept={() => void start({ config }, [terms.code])} />
        )}
        {problem && !terms && (
          <FailureNotice
            failure={problem}
            diagnostics={() => diagnosticsText({ failure: problem })}
            actions={
              <>
                {holder && (
                  <Button size="xs" component={Link} to={`/opd/${holder}`}>
                    {strings.before.busyOpen}
                  </Button>
                )}
                <Button size="xs" variant="default" onClick={dismiss}>
                  {strings.error.dismiss}
                </Button>
              </>
            }
          />
        )}
        {active && (
          <p className={side.startHint}>
            {strings.before.busy}{" "}
            <Anchor component={Link} to={`/opd/${active.run_id}`} size="sm">
              {strings.before.busyOpen}
            </Anchor>
          </p>
        )}
        {numFails > 0 && <p className={side.startHint}>{strings.before.failsBlock}</p>}
        <Button
          fullWidth
          size="md"
          leftSection={<IconPlay size={16} />}
          loading={isStarting}
          disabled={!mayStart}
          onClick={() => config && void start({ config })}
        >
          {strings.before.start}
        </Button>
      </div>
    </div>
  );
}

/** A skipped query still wants an argument; it is never sent. */
const emptyConfig = {} as RunConfig;

function ProblemOf({ error }: { error: Parameters<typeof problemOf>[0] }) {
  const problem = problemOf(error);
  return problem && <FailureNotice failure={problem} diagnostics={() => diagnosticsText({ failure: problem })} />;
}

function Checks({ items, isLoading }: { items: PreflightItem[]; isLoading: boolean }) {
  if (items.length === 0) {
    return isLoading ? (
      <output className={classes.waiting}>
        <Loader size={14} />
        {strings.before.checking}
      </output>
    ) : null;
  }
  const number = (status: PreflightItem["status"]) => items.filter((item) => item.status === status).length;
  const passed = items.filter((item) => item.status === "ok");
  // What needs a person is shown at once, the worst first; the rest on demand.
  const open = items.filter((item) => item.status !== "ok").toSorted((a, b) => rank(a) - rank(b));
  return (
    <>
      <p className={classes.tally} aria-live="polite">
        <span>{strings.before.checks}</span>
        <span data-status="ok">{strings.before.ok(number("ok"))}</span>
        {number("warn") > 0 && <span data-status="warn">{strings.before.warn(number("warn"))}</span>}
        {number("fail") > 0 && <span data-status="fail">{strings.before.fail(number("fail"))}</span>}
      </p>
      <CheckList items={open} />
      <More title={strings.before.passed(passed.length)}>
        <CheckList items={passed} />
      </More>
    </>
  );
}

function CheckList({ items }: { items: PreflightItem[] }) {
  return (
    <ul className={classes.checks}>
      {items.map((item) => {
        const Icon = ICONS[item.status] ?? IconWarn;
        return (
          <li key={item.id} data-status={item.status}>
            <Icon size={15} />
            <div>
              <p className={classes.checkTitle}>{item.title}</p>
              <p className={side.fine}>{item.detail}</p>
              {item.fix && <p className={side.fix}>{item.fix}</p>}
            </div>
          </li>
        );
      })}
    </ul>
  );
}

function rank(item: PreflightItem): number {
  return { fail: 0, warn: 1, ok: 2 }[item.status] ?? 1;
}

interface CostsProps {
  config: RunConfig | null;
  estimate: Estimate | undefined;
  error: Parameters<typeof problemOf>[0];
  onAsked: () => void;
}

function Costs({ config, estimate, error, onAsked }: CostsProps) {
  if (error) {
    return (
      <Section title={strings.before.time}>
        <ProblemOf error={error} />
      </Section>
    );
  }
  if (!estimate || !config) {
    return [strings.before.memory, strings.before.time, strings.before.cost].map((title) => (
      <Section key={title} title={title} aside={DASH}>
        {null}
      </Section>
    ));
  }
  return (
    <>
      <Section title={strings.before.memory} aside={estimate.memory && memoryText(estimate.memory)}>
        {estimate.memory ? (
          <Memory memory={estimate.memory} />
        ) : (
          <p className={side.fine}>{strings.before.memoryUnknown}</p>
        )}
      </Section>
      <Section
        title={strings.before.time}
        aside={
          estimate.time && (
            <strong className={`${side.headline} num`}>{durationRange(estimate.time.low_s, estimate.time.high_s)}</strong>
          )
        }
      >
        <p className={side.fine}>
          {estimate.time
            ? estimate.time.basis === "measured"
              ? strings.before.timeMeasured
              : strings.before.timeRough
            : strings.before.timeUnknown}
        </p>
      </Section>
      <TeacherCost estimate={estimate} config={config} onAsked={onAsked} />
    </>
  );
}

function memoryText(memory: NonNullable<Estimate["memory"]>) {
  return (
    <strong className={`${side.headline} num`}>
      {strings.before.memoryOf(bytes(memory.total_bytes), bytes(memory.available_bytes))}
    </strong>
  );
}

const PART_COLORS = ["var(--chart-1)", "var(--chart-3)", "var(--chart-2)", "var(--chart-5)", "var(--chart-4)", "var(--chart-6)", "var(--chart-7)", "var(--chart-8)"];

function Memory({ memory }: { memory: NonNullable<Estimate["memory"]> }) {
  const scale = Math.max(memory.available_bytes, memory.total_bytes, 1);
  const parts = memory.parts.filter((part) => part.num_bytes > 0);
  return (
    <>
      <Progress.Root size={8} aria-hidden>
        {parts.map((part, at) => (
          <Progress.Section
            key={part.name}
            value={(100 * part.num_bytes) / scale}
            color={PART_COLORS[at % PART_COLORS.length]}
            withAria={false}
          />
        ))}
      </Progress.Root>
      <ul className={side.legend}>
        {parts.map((part, at) => (
          <li key={part.name}>
            <span className={side.legendMark} style={{ background: PART_COLORS[at % PART_COLORS.length] }} />
            {part.name} <span className="faint num">{bytes(part.num_bytes)}</span>
          </li>
        ))}
      </ul>
      {!memory.fits && <p className={side.fix}>{strings.before.memoryTight}</p>}
    </>
  );
}
