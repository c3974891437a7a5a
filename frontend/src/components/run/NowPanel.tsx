/** The right column while a run is at work: pace, where the time goes, alarms, and how to stop. */
import type { ReactNode } from "react";

import type { AlarmRaised } from "../../api/types";
import { clock, duration, percent, shortCount } from "../../lib/format";
import type { RunView } from "../../store/slices/opdSlice";
import { strings } from "../../strings";
import { Notice } from "../ui/Notice";
import { Fact, Facts, Section } from "../ui/Section";
import { recentMean, timeParts } from "./derive";
import { MoneyMeter } from "./MoneyMeter";
import { Remedies } from "./Remedies";
import classes from "./NowPanel.module.css";
import side from "./side.module.css";
import { StopMenu } from "./StopMenu";

const COLORS = ["var(--chart-1)", "var(--chart-3)", "var(--chart-2)", "var(--chart-5)", "var(--chart-4)", "var(--chart-8)"];
const SHOWN_ALARMS = 6;

export function NowPanel({ view }: { view: RunView }) {
  const { summary } = view;
  const checkpoint = view.log.findLast((stored) => stored.event.kind === "checkpoint_saved");
  return (
    <div className={side.side}>
      <section className={side.sideScroll} aria-label={strings.now.title} tabIndex={0}>
        <Section title={strings.now.title}>
          <div className={`${classes.tiles} num`}>
            <Tile label={strings.now.speed} value={shortCount(rounded(recentMean(view, "tokens_per_s")))} />
            <Tile label={strings.now.stepTime} value={duration(recentMean(view, "time/step_s"))} />
            <Tile label={strings.now.eos} value={percent(recentMean(view, "eos_share"), 0)} />
            <Tile label={strings.now.tokens} value={shortCount(summary.latest.num_tokens)} />
          </div>
        </Section>
        {summary.money && <MoneyMeter money={summary.money} />}
        <TimeSplit view={view} />
        <Section title={strings.now.alarms}>
          {summary.alarms.length === 0 ? (
            <p className="dim">{strings.now.noAlarms}</p>
          ) : (
            <div className={side.alarms} role="log">
              {summary.alarms
                .slice(-SHOWN_ALARMS)
                .toReversed()
                .map((alarm) => (
                  <Alarm
                    key={`${alarm.code} ${alarm.step}`}
                    alarm={alarm}
                    actions={view.state === "running" && <Remedies alarm={alarm} view={view} />}
                  />
                ))}
            </div>
          )}
        </Section>
        <Section title={strings.verdict.facts}>
          <Facts>
            <Fact name={strings.now.checkpoint}>
              {summary.checkpoint_step === null
                ? strings.now.noCheckpoint
                : `${strings.run.atStep(summary.checkpoint_step)}${checkpoint ? `, ${clock(checkpoint.time)}` : ""}`}
            </Fact>
            {summary.started && <Fact name={strings.now.device}>{summary.started.device}</Fact>}
            {summary.started && (
              <Fact name={strings.setup.data}>
                {strings.run.split(summary.started.num_prompts, summary.started.num_test_prompts)}
              </Fact>
            )}
          </Facts>
        </Section>
      </section>
      <div className={side.startBar}>
        <StopMenu runId={view.runId} isStopping={view.state === "stopping"} />
      </div>
    </div>
  );
}

function rounded(number: number | null): number | null {
  return number === null ? null : Math.round(number);
}

function Tile({ label, value }: { label: string; value: string }) {
  return (
    <div className={classes.tile}>
      <span className={classes.tileValue}>{value}</span>
      <span className={classes.tileLabel}>{label}</span>
    </div>
  );
}

export function Alarm({ alarm, actions }: { alarm: AlarmRaised; actions?: ReactNode }) {
  const tone = alarm.severity === "info" ? "info" : alarm.severity === "warning" ? "warn" : "bad";
  return (
    <Notice tone={tone} title={alarm.what} actions={actions}>
      <p className={side.fine}>{alarm.why}</p>
      <p className={side.fix}>{alarm.advice}</p>
      <p className={`${side.fine} num`}>
        {strings.run.atStep(alarm.step)} · <span className="mono">{alarm.code}</span>
      </p>
    </Notice>
  );
}

function TimeSplit({ view }: { view: RunView }) {
  const parts = timeParts(view);
  const total = parts.reduce((sum, part) => sum + part.seconds, 0);
  if (total === 0) return null;
  return (
    <Section title={strings.now.timing} aside={<span className="num">{duration(total)}</span>}>
      <div className={classes.split} aria-hidden>
        {parts.map((part, at) => (
          <span
            key={part.name}
            style={{ flexGrow: part.seconds / total, background: COLORS[at % COLORS.length] }}
          />
        ))}
      </div>
      <ul className={side.legend}>
        {parts.map((part, at) => (
          <li key={part.name}>
            <span className={side.legendMark} style={{ background: COLORS[at % COLORS.length] }} />
            {strings.now.phases[part.name] ?? part.name}{" "}
            <span className="faint num">{percent(part.seconds / total, 0)}</span>
          </li>
        ))}
      </ul>
    </Section>
  );
}

