/** One dataset: statistics, what the check found, its prompts as they are and as a model reads them. */
import { ActionIcon, Button, SegmentedControl } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { useNavigate } from "react-router";

import { useDeleteDatasetMutation, useGetDatasetQuery } from "../../api";
import type { DatasetDetail as Detail, DatasetItem } from "../../api/types";
import { count } from "../../lib/format";
import { wordFor } from "../../lib/words";
import { strings } from "../../strings";
import { Pending } from "../Pending";
import { keepDataset } from "../setup/draftStorage";
import { toldIfRefused } from "../refusals";
import { Confirm } from "../ui/Confirm";
import { IconCheck, IconCross, IconDownload, IconInfo, IconPlay, IconTrash, IconWarn } from "../ui/icons";
import classes from "./data.module.css";
import { RenderedPrompts } from "./RenderedPrompts";

const SEVERITY_ICONS = { error: IconCross, warning: IconWarn, note: IconInfo };

export function DatasetDetail({ item }: { item: DatasetItem }) {
  const { currentData: detail, error, refetch } = useGetDatasetQuery({ datasetId: item.id });
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  return (
    <div className={classes.detail}>
      <section className={classes.panel}>
        <div className={classes.detailHead}>
          <h2>{item.name}</h2>
          {item.origin === "uploaded" && (
            <ActionIcon variant="subtle" color="gray" aria-label={strings.data.remove(item.name)} onClick={() => setAsking(true)}>
              <IconTrash />
            </ActionIcon>
          )}
          <Button
            size="xs"
            variant="default"
            leftSection={<IconDownload size={14} />}
            component="a"
            href={`/api/datasets/${item.id}/cleaned`}
            download
            title={strings.data.cleanedHint}
          >
            {strings.data.cleaned}
          </Button>
          {item.ok && (
            <Button
              size="xs"
              leftSection={<IconPlay size={14} />}
              onClick={() => {
                keepDataset(item.path);
                void navigate("/opd");
              }}
            >
              {strings.data.use}
            </Button>
          )}
        </div>
        {detail ? <Stats detail={detail} /> : <Pending error={error} onRetry={refetch} />}
      </section>
      {detail && <Findings detail={detail} />}
      {detail && item.ok && <Prompts detail={detail} />}
      <DeleteDialog item={asking ? item : null} onClose={() => setAsking(false)} />
    </div>
  );
}

function Stats({ detail }: { detail: Detail }) {
  const { report } = detail;
  const facts: [string, string][] = [
    [strings.data.samples, count(report.num_samples)],
    [strings.data.average, report.average_messages.toFixed(1)],
    [strings.data.system, count(report.num_system_messages)],
    [strings.data.references, count(report.num_references)],
    [strings.data.duplicates, count(report.num_duplicates)],
  ];
  return (
    <>
      <dl className={`${classes.stats} num`}>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <p className={`${classes.foot} num`}>
        {wordFor(strings.data.formats, report.format)} ·{" "}
        {strings.data.lengthValue(count(report.prompt_chars.median), count(report.prompt_chars.p95))} ·{" "}
        <span className="mono">sha256 {report.sha256.slice(0, 12)}</span>
      </p>
    </>
  );
}

/** What the check found, what is in the file twice, and what other files hold too. */
function Findings({ detail }: { detail: Detail }) {
  const { problems, duplicates, num_duplicates } = detail.report;
  const rows: ReactNode[] = problems.map((problem) => (
    <Finding key={`${problem.line} ${problem.code}`} severity={problem.severity} next={problem.fix}>
      {sentence(problem.reason)} <span className="faint num">{strings.data.where(problem.line, problem.byte_offset)}</span>
    </Finding>
  ));
  if (num_duplicates > 0) {
    rows.push(
      <Finding key="duplicates" severity="warning" next={strings.data.twinsNext}>
        {strings.data.twins(num_duplicates)}{" "}
        <span className="faint num">
          {duplicates.slice(0, 4).map((twin) => strings.data.twin(twin.line, twin.first_line)).join(", ")}
        </span>
      </Finding>,
    );
  }
  for (const overlap of detail.overlaps) {
    rows.push(
      <Finding key={overlap.dataset_id} severity="warning" next={strings.data.leakNext}>
        {strings.data.leak(overlap.num_prompts, overlap.name)}
      </Finding>,
    );
  }
  return (
    <section className={classes.panel} aria-label={strings.data.problems}>
      {rows.length > 0 ? (
        rows
      ) : (
        <p className={classes.problem} data-severity="good">
          <IconCheck size={15} />
          {strings.data.noProblems}
        </p>
      )}
    </section>
  );
}

function Finding({ severity, next, children }: { severity: keyof typeof SEVERITY_ICONS; next: string; children: ReactNode }) {
  const Icon = SEVERITY_ICONS[severity] ?? IconInfo;
  return (
    <div className={classes.problem} data-severity={severity}>
      <Icon size={15} />
      <div>
        {children}
        <p className="dim">{next}</p>
      </div>
    </div>
  );
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

function Prompts({ detail }: { detail: Detail }) {
  const [view, setView] = useState("messages");
  return (
    <section className={classes.panel}>
      <div className={classes.detailHead}>
        <h2>{strings.data.preview}</h2>
        <SegmentedControl
          size="xs"
          aria-label={strings.data.preview}
          value={view}
          onChange={setView}
          data={[
            { value: "messages", label: strings.data.asMessages },
            { value: "tokens", label: strings.data.asTokens },
          ]}
        />
      </div>
      {view === "tokens" ? <RenderedPrompts datasetId={detail.dataset.id} /> : <Messages detail={detail} />}
    </section>
  );
}

function Messages({ detail }: { detail: Detail }) {
  return detail.preview.map((prompt) => (
    <div key={`${prompt.id} ${prompt.line}`} className={classes.prompt}>
      {prompt.messages.map((message, at) => (
        // oxlint-disable-next-line react/no-array-index-key -- messages have no identity but their place
        <div key={at} className={classes.message}>
          <span className={classes.role}>{message.role}</span>
          <span className={classes.content}>{message.content}</span>
        </div>
      ))}
      {prompt.answer !== null && (
        <div className={classes.message}>
          <span className={classes.role}>{strings.data.answer}</span>
          <span className={`${classes.content} mono`}>{prompt.answer}</span>
        </div>
      )}
    </div>
  ));
}

function DeleteDialog({ item, onClose }: { item: DatasetItem | null; onClose: () => void }) {
  const [remove, { isLoading }] = useDeleteDatasetMutation();
  return (
    <Confirm
      opened={item !== null}
      title={strings.data.removeTitle}
      keep={strings.runs.cancel}
      sure={strings.data.removeSure}
      isBusy={isLoading}
      onClose={onClose}
      onSure={async () => {
        if (item) toldIfRefused(await remove({ datasetId: item.id }));
        onClose();
      }}
    >
      {item && strings.data.removeText(item.name)}
    </Confirm>
  );
}
