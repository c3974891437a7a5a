/** Answers to the same held-out prompts: before, at any step, and the teacher's. Model text is only ever text. */
import { SegmentedControl, Slider } from "@mantine/core";
import { useState } from "react";

import type { RunState, SampleRecorded } from "../../api/types";
import { strings } from "../../strings";
import { IconCheck, IconCross } from "../ui/icons";
import { isOver, type ProbePrompt, probePrompts } from "./derive";
import column from "./RunColumn.module.css";
import classes from "./Samples.module.css";

export function Samples({ samples, state }: { samples: SampleRecorded[]; state: RunState | null }) {
  const prompts = probePrompts(samples).filter((prompt) => prompt.student.length > 0 || prompt.teacher);
  const [wanted, setWanted] = useState<string | null>(null);
  /** null follows the newest step. */
  const [wantedStep, setWantedStep] = useState<number | null>(null);
  const prompt = prompts.find((found) => found.id === wanted) ?? prompts[0];

  return (
    <section className={column.block}>
      <div className={column.blockHead}>
        <h2>{strings.run.samples}</h2>
        {prompts.length > 1 && (
          <SegmentedControl
            size="xs"
            value={prompt?.id}
            aria-label={strings.run.prompt}
            data={prompts.map((found, at) => ({ value: found.id, label: strings.run.promptN(at + 1) }))}
            onChange={setWanted}
          />
        )}
      </div>
      {prompt ? (
        <OnePrompt prompt={prompt} wantedStep={wantedStep} isDone={state === "done"} onStep={setWantedStep} />
      ) : (
        <p className="faint">{isOver(state) ? strings.run.samplesNever : strings.run.samplesNone}</p>
      )}
    </section>
  );
}

interface OneProps {
  prompt: ProbePrompt;
  wantedStep: number | null;
  isDone: boolean;
  onStep: (step: number | null) => void;
}

function OnePrompt({ prompt, wantedStep, isDone, onStep }: OneProps) {
  const steps = prompt.student.map((sample) => sample.step);
  const newest = steps.length - 1;
  const wantedAt = wantedStep === null ? newest : steps.findLastIndex((step) => step <= wantedStep);
  const at = wantedAt === -1 ? newest : wantedAt;
  const before = prompt.student.find((sample) => sample.step === 0);
  const now = prompt.student[at];
  const title = at === newest ? (isDone ? strings.run.after : strings.run.now) : strings.run.atStep(now?.step ?? 0);
  return (
    <>
      <p className={classes.question}>{prompt.prompt}</p>
      <div className={classes.answers}>
        <Answer title={strings.run.before} color="var(--before)" sample={before} />
        <Answer title={title} detail={now && strings.run.atStep(now.step)} color="var(--after)" sample={now} />
        <Answer title={strings.run.teacher} color="var(--teacher)" sample={prompt.teacher} />
      </div>
      <div className={classes.answersFoot}>
        {prompt.expected !== null && (
          <span>
            {strings.run.expected}: <strong className="mono num">{prompt.expected}</strong>
          </span>
        )}
        {steps.length > 1 && (
          <div className={classes.scrubber}>
            <span>{strings.run.scrub}</span>
            <Slider
              size="xs"
              min={0}
              max={newest}
              step={1}
              value={at}
              label={null}
              thumbLabel={strings.run.scrub}
              onChange={(next) => onStep(next === newest ? null : (steps[next] ?? null))}
            />
            <span className="num">{steps[at]}</span>
          </div>
        )}
      </div>
    </>
  );
}

interface AnswerProps {
  title: string;
  detail?: string;
  color: string;
  sample: SampleRecorded | undefined;
}

function Answer({ title, detail, color, sample }: AnswerProps) {
  return (
    <article className={classes.answer} style={{ borderTopColor: color }}>
      <header>
        <h3>{title}</h3>
        {detail && detail !== title && <span className="faint num">{detail}</span>}
        {sample?.correct != null && <Mark correct={sample.correct} />}
      </header>
      {sample ? (
        <pre className={classes.text}>{sample.tokens.length > 0 ? <Tokens sample={sample} /> : sample.text}</pre>
      ) : (
        <p className="faint">{strings.run.noAnswer}</p>
      )}
    </article>
  );
}

function Mark({ correct }: { correct: boolean }) {
  return (
    <span className={classes.mark} data-correct={correct}>
      {correct ? <IconCheck size={14} /> : <IconCross size={14} />}
      <span className="visually-hidden">{correct ? strings.run.correct : strings.run.wrong}</span>
    </span>
  );
}

/** Nats of disagreement at which the shade is full. */
const FULL_GAP = 3;

function Tokens({ sample }: { sample: SampleRecorded }) {
  return sample.tokens.map((token, at) => {
    const gap = Math.min(1, Math.max(0, token.student_logprob - token.teacher_logprob) / FULL_GAP);
    const hover = strings.run.tokenHover(chance(token.student_logprob), chance(token.teacher_logprob));
    return (
      <span
        // oxlint-disable-next-line react/no-array-index-key -- tokens have no identity but their place
        key={at}
        className={classes.token}
        title={hover}
        style={{ backgroundColor: `color-mix(in srgb, var(--sft) ${Math.round(gap * 55)}%, transparent)` }}
      >
        {token.text}
      </span>
    );
  });
}

function chance(logprob: number): string {
  return `${(Math.exp(logprob) * 100).toFixed(1)} %`;
}
