/** One run in the list: name and tags, state, how far, how it ended, and what can be done with it. */
import { ActionIcon, Checkbox, Tooltip } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { Link, useNavigate } from "react-router";

import { useResumeRunMutation } from "../api";
import { problemOf } from "../api/errors";
import type { RunListItem } from "../api/types";
import { isActive } from "../components/run/derive";
import { IconResume, IconTrash } from "../components/ui/icons";
import { StateChip } from "../components/ui/StateChip";
import { ago, count, duration, modelName, moment } from "../lib/format";
import { wordFor } from "../lib/words";
import { strings } from "../strings";
import page from "./page.module.css";
import classes from "./RunsPage.module.css";
import { EditTags, Tags } from "./RunTags";

interface Props {
  run: RunListItem;
  now: number;
  knownTags: string[];
  isChosen: boolean;
  isFull: boolean;
  onChoose: (isChosen: boolean) => void;
  onTag: (tag: string) => void;
  onDelete: () => void;
}

export function RunRow({ run, now, knownTags, isChosen, isFull, onChoose, onTag, onDelete }: Props) {
  const [resume, { isLoading }] = useResumeRunMutation();
  const navigate = useNavigate();

  async function goOn() {
    const { data, error } = await resume({ runId: run.run_id, resumeRequest: {} });
    const problem = problemOf(error);
    if (problem) notifications.show({ color: "red", title: problem.message, message: problem.hint });
    else if (data) await navigate(`/opd/${data.run_id}`);
  }

  const share = run.max_steps > 0 ? run.step / run.max_steps : 0;
  return (
    <tr>
      <td>
        <Checkbox
          size="xs"
          checked={isChosen}
          disabled={isFull && !isChosen}
          aria-label={strings.runs.select(run.name)}
          onChange={(event) => onChoose(event.currentTarget.checked)}
        />
      </td>
      <td className={page.name}>
        <Link to={`/opd/${run.run_id}`} className={page.nameLink}>
          {run.name}
        </Link>
        <span className={page.sub}>
          {modelName(run.student)} ← {modelName(run.teacher)} ·{" "}
          <Link to={`/runs/${run.run_id}`} className={`faint ${classes.id}`}>
            {run.run_id}
          </Link>
        </span>
        <Tags run={run} onPick={onTag} />
      </td>
      <td>
        <StateChip state={run.state} />
      </td>
      <td className="num">
        {count(run.step)} / {count(run.max_steps)}
        <span className={classes.miniBar} aria-hidden>
          <span style={{ width: `${Math.min(100, share * 100)}%` }} />
        </span>
      </td>
      <td>
        <Result run={run} />
      </td>
      <td className={`${page.right} num`}>{duration(run.seconds_elapsed)}</td>
      <td className={`${page.right} num`} title={moment(run.created_time)}>
        {ago(run.created_time, now)}
      </td>
      <td>
        <div className={classes.rowTools}>
          {run.resumable && (
            <Tooltip label={strings.verdict.resume}>
              <ActionIcon
                variant="subtle"
                color="gray"
                loading={isLoading}
                aria-label={strings.runs.resume(run.name)}
                onClick={() => void goOn()}
              >
                <IconResume />
              </ActionIcon>
            </Tooltip>
          )}
          <EditTags run={run} known={knownTags} />
          {!isActive(run.state) && (
            <ActionIcon variant="subtle" color="gray" aria-label={strings.runs.remove(run.name)} onClick={onDelete}>
              <IconTrash />
            </ActionIcon>
          )}
        </div>
      </td>
    </tr>
  );
}

function Result({ run }: { run: RunListItem }) {
  if (run.failure) {
    return (
      <span className={`${classes.result} ${page.bad}`} title={`${run.failure.message} ${run.failure.hint}`}>
        {run.failure.message}
      </span>
    );
  }
  if (!run.verdict) return <span className="faint">–</span>;
  const { conclusion, headline } = run.verdict;
  const tone = conclusion === "better" ? page.good : conclusion === "worse" ? page.bad : undefined;
  return (
    <span className={classes.result} title={headline}>
      <span className={tone}>{wordFor(strings.verdict.conclusion, conclusion)}</span>
    </span>
  );
}
