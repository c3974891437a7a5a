/** What a teacher that only answers did in a run: each stage in words, its prompts, its marks on the student's drafts. */
import { Button, Checkbox, SegmentedControl } from "@mantine/core";
import { useState } from "react";

import {
  useGetMarksQuery,
  useGetWrittenQuery,
  useStrikeWrittenMutation,
} from "../api";
import type { StageFinished, Written } from "../api/types";
import { count } from "../lib/format";
import { strings } from "../strings";
import { EmptyState } from "../components/ui/EmptyState";
import classes from "./Taught.module.css";
import page from "./page.module.css";

const words = strings.taught;

export function Taught({
  runId,
  stages,
}: {
  runId: string;
  stages: StageFinished[];
}) {
  const { data } = useGetWrittenQuery(
    { runId },
    { refetchOnMountOrArgChange: true },
  );
  return (
    <>
      <h2 className={page.heading}>{words.stages}</h2>
      {stages.length === 0 ? (
        <EmptyState title={words.none} />
      ) : (
        <ol className={`${page.card} ${page.padded} ${classes.stages}`}>
          {stages.map((stage) => (
            <li key={stage.stage}>{stage.words}</li>
          ))}
        </ol>
      )}
      {data && data.prompts.length > 0 && (
        <Prompts key={runId} runId={runId} written={data} />
      )}
      {data && data.set_aside.length > 0 && (
        <>
          <h2 className={page.heading}>{words.aside}</h2>
          <ul className={`${page.card} ${page.padded} ${classes.list}`}>
            {data.set_aside.map((one) => (
              <li key={`${one.reason} ${one.text}`}>
                {one.reason} <q className="faint">{one.text}</q>
              </li>
            ))}
          </ul>
        </>
      )}
      {data && data.num_refreshes > 0 && (
        <Marks runId={runId} rounds={data.num_refreshes} />
      )}
    </>
  );
}

function Prompts({ runId, written }: { runId: string; written: Written }) {
  const [struck, setStruck] = useState(
    () => new Set(written.prompts.filter((p) => p.struck).map((p) => p.number)),
  );
  const [save, { isLoading, isSuccess }] = useStrikeWrittenMutation();
  const toggle = (number: number) =>
    setStruck((before) => {
      const after = new Set(before);
      if (!after.delete(number)) after.add(number);
      return after;
    });
  const removed = Object.entries(written.removed)
    .map(
      ([reason, number]) =>
        `${count(number)} ${words.reason(number)[reason] ?? reason}`,
    )
    .join(", ");
  return (
    <>
      <h2 className={page.heading}>
        {words.prompts} ({count(written.prompts.length)})
      </h2>
      {written.may_strike && <p className="faint">{words.promptsNote}</p>}
      <ul
        className={`${page.card} ${page.padded} ${classes.list}`}
        tabIndex={0}
        aria-label={words.prompts}
      >
        {written.prompts.map((prompt) => (
          <li
            key={prompt.number}
            data-struck={struck.has(prompt.number) || undefined}
          >
            {written.may_strike && (
              <Checkbox
                size="xs"
                aria-label={words.keep(prompt.number)}
                checked={!struck.has(prompt.number)}
                onChange={() => toggle(prompt.number)}
              />
            )}
            <span>{prompt.text}</span>
          </li>
        ))}
      </ul>
      {removed && (
        <p className="faint">
          {words.removed}: {removed}.
        </p>
      )}
      {written.may_strike && (
        <Button
          mt="sm"
          size="sm"
          loading={isLoading}
          onClick={() => void save({ runId, strike: { numbers: [...struck] } })}
        >
          {isSuccess ? words.saved : words.save}
        </Button>
      )}
    </>
  );
}

const MAX_CHOICES = 12;

function Marks({ runId, rounds }: { runId: string; rounds: number }) {
  const [round, setRound] = useState(0);
  const { data } = useGetMarksQuery({ runId, refresh: round });
  const step = Math.max(1, Math.ceil(rounds / MAX_CHOICES));
  const choices = Array.from({ length: rounds }, (_, number) => number).filter(
    (number) => number % step === 0 || number === rounds - 1,
  );
  return (
    <>
      <h2 className={page.heading}>{words.marks}</h2>
      <SegmentedControl
        size="xs"
        mb="sm"
        aria-label={words.round}
        value={String(round)}
        onChange={(value) => setRound(Number(value))}
        data={choices.map((number) => ({
          value: String(number),
          label: `${words.round} ${number + 1}`,
        }))}
      />
      {data && (
        <div className={`${page.card} ${page.scrollX}`}>
          <table className={page.table}>
            <caption className="faint">{words.atStep(data.step)}</caption>
            <thead>
              <tr>
                <th>{words.draft}</th>
                <th>{words.marked}</th>
              </tr>
            </thead>
            <tbody>
              {data.drafts.map((draft) => (
                <tr key={`${draft.prompt} ${draft.text}`}>
                  <td className={`mono ${classes.text}`}>{draft.text}</td>
                  <td className={`mono ${classes.text}`}>
                    {draft.marks?.map((mark) => (
                      <span
                        key={`${mark.verdict} ${mark.text}`}
                        className={classes.mark}
                        data-verdict={mark.verdict}
                      >
                        {mark.text} <small>{words.verdict[mark.verdict]}</small>
                      </span>
                    )) ?? `${words.unread} ${draft.problem?.reason ?? ""}`}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
