/** The centre of a new run: what this is, the quickest way to see it, and what was done before. */
import { Button } from "@mantine/core";
import { Link } from "react-router";

import { useListDatasetsQuery, useListRunsQuery, useLazyListTeachersQuery } from "../../api";
import { busyRunId } from "../../api/errors";
import { ago, duration } from "../../lib/format";
import { strings } from "../../strings";
import { diagnosticsText } from "../diagnostics";
import type { Draft } from "../setup/useDraft";
import { Invitation } from "../tour/Invitation";
import { IconPlay } from "../ui/icons";
import { FailureNotice } from "../ui/Notice";
import { StateChip } from "../ui/StateChip";
import { useStart } from "../useStart";
import classes from "./IdlePanel.module.css";
import { StepGlyph } from "./StepGlyph";
import { useNow } from "./useNow";

const EXAMPLE = "on_policy_prompts.jsonl";
const SHORT_CONTEXT = 1024;
const NUM_RECENT = 4;

export function IdlePanel({ draft, onExample }: { draft: Draft; onExample?: () => void }) {
  const { data: datasets } = useListDatasetsQuery();
  const [askTeachers, { isFetching: isAsking }] = useLazyListTeachersQuery();
  const { data: runs } = useListRunsQuery({});
  const { start, isStarting, problem } = useStart();
  const holder = problem ? busyRunId(problem) : null;
  const now = useNow(true);
  const bundled = datasets?.items.filter((item) => item.origin === "bundled") ?? [];
  const example = bundled.find((item) => item.path.endsWith(EXAMPLE)) ?? bundled[0];
  const hasDemo = draft.schema.demo !== null;

  async function takeExample() {
    if (!example) return;
    draft.set("data.path", example.path);
    // Four clicks to a running run: models are put in where none is chosen yet, and can be changed.
    const { data: teachers } = await askTeachers(undefined, true);
    const models = teachers?.local_models ?? [];
    const bySize = models.filter((model) => model.origin === "bundled").toSorted((a, b) => a.num_parameters - b.num_parameters);
    const [smallest, largest] = [bySize[0], bySize.at(-1)];
    if (draft.get("teacher.model") === "" && largest) draft.set("teacher.model", largest.id);
    if (draft.get("student.model") === "" && smallest) {
      draft.set("student.model", smallest.id);
      // Its context is short: a longer limit could never be reached.
      if (smallest.context_length < SHORT_CONTEXT) draft.set("sampling.max_completion_tokens", smallest.context_length / 4);
    }
    onExample?.();
  }

  return (
    <div className={classes.idle}>
      {runs?.items.length === 0 && <Invitation />}
      <div className={classes.hero}>
        <h1>{strings.idle.title}</h1>
        <p>{strings.idle.text}</p>
        <div className={classes.heroActions}>
          <Button
            size="md"
            leftSection={<IconPlay size={16} />}
            disabled={!hasDemo}
            loading={isStarting}
            onClick={() => void start({ demo: true })}
          >
            {strings.idle.demo}
          </Button>
          {example && (
            <Button size="md" variant="default" loading={isAsking} onClick={() => void takeExample()}>
              {strings.idle.example}
            </Button>
          )}
        </div>
        <p className={classes.heroHint}>{hasDemo ? strings.idle.demoHint : strings.idle.demoMissing}</p>
        {problem && (
          <FailureNotice
            failure={problem}
            diagnostics={() => diagnosticsText({ failure: problem })}
            actions={
              holder && (
                <Button size="xs" component={Link} to={`/opd/${holder}`}>
                  {strings.before.busyOpen}
                </Button>
              )
            }
          />
        )}
      </div>
      <ol className={classes.steps}>
        {strings.idle.steps.map(([title, text], at) => (
          <li key={title}>
            <StepGlyph step={at} />
            <strong>{title}</strong>
            <span>{text}</span>
          </li>
        ))}
      </ol>
      {runs && runs.items.length > 0 && (
        <div className={classes.recent}>
          <h2>{strings.idle.recent}</h2>
          <ul>
            {runs.items.slice(0, NUM_RECENT).map((run) => (
              <li key={run.run_id}>
                <Link to={`/opd/${run.run_id}`} className={classes.recentRow}>
                  <span className={classes.recentName}>{run.name}</span>
                  <StateChip state={run.state} />
                  <span className="faint num">{duration(run.seconds_elapsed)}</span>
                  <span className="faint num">{ago(run.created_time, now)}</span>
                </Link>
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}
