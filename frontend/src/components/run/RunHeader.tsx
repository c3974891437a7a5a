/** The head of the run column: name, state, how far, how long, and the track of its phases. */
import { Button } from "@mantine/core";

import type { RunConfig } from "../../api/types";
import { count, duration } from "../../lib/format";
import type { RunView } from "../../store/slices/opdSlice";
import { wordFor } from "../../lib/words";
import { strings } from "../../strings";
import { StateChip } from "../ui/StateChip";
import { doingNow, isActive, phaseEta, type PhaseStep, phaseSteps, secondsElapsed } from "./derive";
import classes from "./RunHeader.module.css";
import { useNow } from "./useNow";

interface Props {
  view: RunView;
  name: string;
  config: RunConfig | undefined;
  onRetry: () => void;
}

export function RunHeader({ view, name, config, onRetry }: Props) {
  const active = isActive(view.state);
  const now = useNow(active);
  const { summary } = view;
  const steps = phaseSteps(view, config, now);
  const eta = active ? phaseEta(view, now) : null;
  const doing = active ? doingNow(summary.phase, config) : undefined;
  // Steps of the distillation are counted in the line above.
  const counted = active && summary.phase_total && summary.phase !== "distilling";
  const maxSteps = summary.max_steps || config?.max_steps || 0;
  return (
    <header className={classes.header}>
      <div className={classes.headRow}>
        <h1 className={classes.name} title={name}>
          {name}
        </h1>
        {view.state && <StateChip state={view.state} />}
        <dl className={`${classes.headFacts} num`}>
          <div>
            <dt>{strings.run.elapsed}</dt>
            <dd>{duration(secondsElapsed(view, now))}</dd>
          </div>
        </dl>
      </div>
      <Track steps={steps} />
      <div className={classes.doingRow}>
        <p className={classes.doing}>
          {doing ?? endedWords(view)}
        </p>
        <p className={`${classes.progress} num`}>
          {counted ? (
            <strong>
              {count(summary.phase_done)} / {count(summary.phase_total)}
            </strong>
          ) : (
            summary.step > 0 && <strong data-testid="step">{strings.run.step(summary.step, maxSteps)}</strong>
          )}
          {eta !== null && eta >= 1 && (
            <span title={strings.run.leftHelp}>{strings.run.left(duration(Math.ceil(eta)))}</span>
          )}
        </p>
      </div>
      <Connection view={view} onRetry={onRetry} />
      <Announcer view={view} />
    </header>
  );
}

/** How it ended, in a word; a stopped run's reason is told beside it. */
function endedWords({ state, summary }: RunView): string {
  const words = (state && strings.run.ended[state]) ?? "";
  return state === "stopped" ? words : summary.finished?.reason || words;
}

function Track({ steps }: { steps: PhaseStep[] }) {
  return (
    <ol className={classes.track}>
      {steps.map((step) => {
        const words = strings.phase[step.phase];
        const name = words?.name ?? step.phase;
        const share = step.share ?? 0;
        return (
          <li
            key={step.phase}
            data-status={step.status}
            data-main={step.phase === "distilling" || undefined}
            aria-current={step.status === "active" ? "step" : undefined}
            title={step.seconds === null ? name : `${name}: ${duration(step.seconds)}`}
          >
            <span className={classes.trackBar}>
              <span
                className={classes.trackFill}
                data-unknown={(step.status === "active" && step.share === null) || undefined}
                style={{ transform: `scaleX(${share})` }}
              />
            </span>
            <span className={classes.trackName}>{words?.short ?? step.phase}</span>
          </li>
        );
      })}
    </ol>
  );
}

function Connection({ view, onRetry }: { view: RunView; onRetry: () => void }) {
  if (view.connection !== "waiting" && view.connection !== "refused") return null;
  return (
    <output className={classes.connection}>
      {strings.run.connection[view.connection]}
      {view.connection === "waiting" && (
        <Button size="compact-xs" variant="default" onClick={onRetry}>
          {strings.run.retry}
        </Button>
      )}
    </output>
  );
}

/** Tells screen readers about phases and ends, not about every step. */
function Announcer({ view }: { view: RunView }) {
  const phase = view.summary.phase ? strings.phase[view.summary.phase]?.name : "";
  const state = view.state ? wordFor(strings.state, view.state) : "";
  return (
    <span className="visually-hidden" aria-live="polite">
      {isActive(view.state) ? `${state}: ${phase}` : state}
    </span>
  );
}
