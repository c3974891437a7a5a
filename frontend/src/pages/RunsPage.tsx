/** All runs: find, open, compare, resume, delete. */
import { Button, TextInput, Tooltip } from "@mantine/core";
import { useState } from "react";
import { Link, useNavigate } from "react-router";

import { useListRunsQuery } from "../api";
import type { RunListItem } from "../api/types";
import { Pending } from "../components/Pending";
import { isActive } from "../components/run/derive";
import { useNow } from "../components/run/useNow";
import { EmptyState } from "../components/ui/EmptyState";
import { IconCompare, IconPlay, IconPlus, IconRuns, IconSearch } from "../components/ui/icons";
import { useStart } from "../components/useStart";
import { strings } from "../strings";
import { DeleteRun } from "./DeleteRun";
import page from "./page.module.css";
import { RunRow } from "./RunRow";

const MAX_COMPARED = 8;
const POLL_MS = 3000;

export function RunsPage() {
  const [anyActive, setAnyActive] = useState(false);
  const { data, error, refetch } = useListRunsQuery({}, { pollingInterval: anyActive ? POLL_MS : 0, skipPollingIfUnfocused: true });
  const navigate = useNavigate();
  const { start, isStarting } = useStart();
  const [filter, setFilter] = useState("");
  const [chosen, setChosen] = useState<string[]>([]);
  const [doomed, setDoomed] = useState<RunListItem | null>(null);
  const runs = data?.items ?? [];
  const knownTags = [...new Set(runs.flatMap((run) => run.tags))].toSorted();
  const now = useNow(true);
  const active = runs.some((run) => isActive(run.state));
  if (active !== anyActive) setAnyActive(active);
  const wanted = filter.trim().toLowerCase();
  const shown = runs.filter((run) => `${run.name} ${run.tags.join(" ")} ${run.student} ${run.teacher} ${run.run_id}`.toLowerCase().includes(wanted));

  if (!data) return <Pending error={error} onRetry={refetch} />;
  if (runs.length === 0) {
    return (
      <EmptyState title={strings.runs.none} hint={strings.runs.noneHint} icon={<IconRuns size={24} />}>
        <Button leftSection={<IconPlay size={16} />} loading={isStarting} onClick={() => void start({ demo: true })}>
          {strings.idle.demo}
        </Button>
        <Button variant="default" component={Link} to="/opd">
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
            w={244}
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
              <RunRow
                key={run.run_id}
                run={run}
                now={now}
                knownTags={knownTags}
                isChosen={chosen.includes(run.run_id)}
                isFull={chosen.length >= MAX_COMPARED}
                onChoose={(isChosen) =>
                  setChosen((known) => (isChosen ? [...known, run.run_id] : known.filter((id) => id !== run.run_id)))
                }
                onTag={setFilter}
                onDelete={() => setDoomed(run)}
              />
            ))}
          </tbody>
        </table>
        {shown.length === 0 && <EmptyState title={strings.runs.noMatch} />}
      </div>
      <DeleteRun
        run={doomed}
        onClose={(deleted) => {
          if (deleted) setChosen((known) => known.filter((id) => id !== doomed?.run_id));
          setDoomed(null);
        }}
      />
    </div>
  );
}
