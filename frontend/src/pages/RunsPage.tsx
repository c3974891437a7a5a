/** All runs: find, open, compare, resume, delete. */
import { ActionIcon, Button, Checkbox, Modal, TextInput, Tooltip } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import { Link, useNavigate } from "react-router";

import { useDeleteRunMutation, useListRunsQuery, useResumeRunMutation } from "../api";
import { problemOf } from "../api/errors";
import type { RunListItem } from "../api/types";
import { Pending } from "../components/Pending";
import { isActive } from "../components/run/derive";
import { useNow } from "../components/run/useNow";
import { EmptyState } from "../components/ui/EmptyState";
import { IconCompare, IconPlus, IconResume, IconRuns, IconSearch, IconTrash } from "../components/ui/icons";
import { StateChip } from "../components/ui/StateChip";
import { ago, count, duration, modelName, moment } from "../lib/format";
import { strings } from "../strings";
import classes from "./RunsPage.module.css";
import page from "./page.module.css";

const MAX_COMPARED = 8;
const POLL_MS = 3000;

export function RunsPage() {
  const [anyActive, setAnyActive] = useState(false);
  const { data, error, refetch } = useListRunsQuery({}, { pollingInterval: anyActive ? POLL_MS : 0, skipPollingIfUnfocused: true });
  const navigate = useNavigate();
  const [filter, setFilter] = useState("");
  const [chosen, setChosen] = useState<string[]>([]);
  const [doomed, setDoomed] = useState<RunListItem | null>(null);
  const runs = data?.items ?? [];
  const now = useNow(true);
  const active = runs.some((run) => isActive(run.state));
  if (active !== anyActive) setAnyActive(active);
  const wanted = filter.trim().toLowerCase();
  const shown = runs.filter((run) => `${run.name} ${run.student} ${run.teacher} ${run.run_id}`.toLowerCase().includes(wanted));

  if (!data) return <Pending error={error} onRetry={refetch} />;
  if (runs.length === 0) {
    return (
      <EmptyState title={strings.runs.none} hint={strings.runs.noneHint} icon={<IconRuns size={24} />}>
        <Button component={Link} to="/opd">
          {strings.palette.newRun}
        </Button>
      </EmptyState>
    );
  }
  return (
    <div className={page.page}>
      <div className={page.head}>
        <h1>{strings.runs.title}</h1>
        <span className="faint num">{strings.runs.total(runs.length)}</span>
        <div className={page.aside}>
          <TextInput
            size="sm"
            w={220}
            leftSection={<IconSearch size={14} />}
            placeholder={strings.runs.filter}
            aria-label={strings.runs.filter}
            value={filter}
            onChange={(event) => setFilter(event.currentTarget.value)}
          />
          <Tooltip label={strings.runs.compareHint} disabled={chosen.length >= 2}>
            <Button
              size="sm"
              variant="default"
              leftSection={<IconCompare />}
              aria-disabled={chosen.length < 2}
              data-disabled={chosen.length < 2 || undefined}
              onClick={() => chosen.length >= 2 && void navigate(`/runs/compare?ids=${chosen.join(",")}`)}
            >
              {strings.runs.compare(chosen.length)}
            </Button>
          </Tooltip>
          <Button size="sm" component={Link} to="/opd" leftSection={<IconPlus />}>
            {strings.palette.newRun}
          </Button>
        </div>
      </div>
      <div className={`${page.card} ${page.scrollX}`}>
        <table className={page.table}>
          <thead>
            <tr>
              <th aria-label={strings.runs.compareHint} />
              <th scope="col">{strings.runs.name}</th>
              <th scope="col">{strings.runs.state}</th>
              <th scope="col">{strings.runs.progress}</th>
              <th scope="col">{strings.runs.result}</th>
              <th scope="col" className={page.right}>
                {strings.runs.took}
              </th>
              <th scope="col" className={page.right}>
                {strings.runs.started}
              </th>
              <th aria-label={strings.runs.actions} />
            </tr>
          </thead>
          <tbody>
            {shown.map((run) => (
              <Row
                key={run.run_id}
                run={run}
                now={now}
                isChosen={chosen.includes(run.run_id)}
                isFull={chosen.length >= MAX_COMPARED}
                onChoose={(isChosen) =>
                  setChosen((known) => (isChosen ? [...known, run.run_id] : known.filter((id) => id !== run.run_id)))
                }
                onDelete={() => setDoomed(run)}
              />
            ))}
          </tbody>
        </table>
        {shown.length === 0 && <EmptyState title={strings.runs.noMatch} />}
      </div>
      <DeleteDialog
        run={doomed}
        onClose={(deleted) => {
          if (deleted) setChosen((known) => known.filter((id) => id !== doomed?.run_id));
          setDoomed(null);
        }}
      />
    </div>
  );
}

interface RowProps {
  run: RunListItem;
  now: number;
  isChosen: boolean;
  isFull: boolean;
  onChoose: (isChosen: boolean) => void;
  onDelete: () => void;
}

function Row({ run, now, isChosen, isFull, onChoose, onDelete }: RowProps) {
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
      <td>
        <Link to={`/opd/${run.run_id}`} className={page.nameLink}>
          {run.name}
        </Link>
        <span className={page.sub}>
          {modelName(run.student)} ← {modelName(run.teacher)} ·{" "}
          <Link to={`/runs/${run.run_id}`} className="faint">
            {run.run_id}
          </Link>
        </span>
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
        {run.failure.code}
      </span>
    );
  }
  if (!run.verdict) return <span className="faint">–</span>;
  const { conclusion, headline } = run.verdict;
  const tone = conclusion === "better" ? page.good : conclusion === "worse" ? page.bad : undefined;
  return (
    <span className={classes.result} title={headline}>
      <span className={tone}>{strings.verdict.conclusion[conclusion]}</span>
    </span>
  );
}

export function DeleteDialog({ run, onClose }: { run: RunListItem | null; onClose: (deleted: boolean) => void }) {
  const [remove, { isLoading }] = useDeleteRunMutation();
  return (
    <Modal opened={run !== null} onClose={() => onClose(false)} title={strings.runs.deleteTitle}>
      <p>{run && strings.runs.deleteText(run.name)}</p>
      <div style={{ display: "flex", justifyContent: "flex-end", gap: 8, marginTop: 20 }}>
        <Button variant="default" onClick={() => onClose(false)} data-autofocus>
          {strings.runs.cancel}
        </Button>
        <Button
          color="red"
          loading={isLoading}
          onClick={async () => {
            if (!run) return;
            const problem = problemOf((await remove({ runId: run.run_id })).error);
            if (problem) notifications.show({ color: "red", title: problem.message, message: problem.hint });
            onClose(!problem);
          }}
        >
          {strings.runs.deleteSure}
        </Button>
      </div>
    </Modal>
  );
}
