/** Datasets: what is in each, what the check found, and a place to drop another. */
import { ActionIcon, Button, Modal, UnstyledButton } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useState } from "react";
import { useNavigate, useSearchParams } from "react-router";

import { useDeleteDatasetMutation, useGetDatasetQuery, useListDatasetsQuery } from "../api";
import { problemOf } from "../api/errors";
import type { DatasetDetail, DatasetItem } from "../api/types";
import { Pending } from "../components/Pending";
import { keepDataset } from "../components/setup/draftStorage";
import { DropFile } from "../components/setup/DataPicker";
import { IconCross, IconData, IconInfo, IconPlay, IconTrash, IconWarn } from "../components/ui/icons";
import { EmptyState } from "../components/ui/EmptyState";
import { bytes, count } from "../lib/format";
import { strings } from "../strings";
import classes from "./DatasetsPage.module.css";
import page from "./page.module.css";

export function DatasetsPage() {
  const { data, error, refetch } = useListDatasetsQuery();
  const [params, setParams] = useSearchParams();
  if (!data) return <Pending error={error} onRetry={refetch} />;
  const { items } = data;
  const chosen = items.find((item) => item.id === params.get("id")) ?? items[0];
  return (
    <div className={page.page}>
      <div className={page.head}>
        <h1>{strings.data.title}</h1>
      </div>
      <p className={page.intro}>{strings.data.intro}</p>
      <div className={classes.split}>
        <div>
          <div className={page.card}>
            {items.map((item) => (
              <UnstyledButton
                key={item.id}
                className={classes.pick}
                aria-current={item.id === chosen?.id}
                onClick={() => setParams({ id: item.id })}
              >
                <strong>{item.name}</strong>
                <span className={`${page.sub} num`}>
                  {count(item.num_samples)} {strings.setup.statPrompts} · {bytes(item.size_bytes)} ·{" "}
                  {item.origin === "bundled" ? strings.setup.bundled : strings.setup.uploaded}
                  {!item.ok && ` · ${strings.data.unusable}`}
                </span>
              </UnstyledButton>
            ))}
          </div>
          <div style={{ marginTop: 12 }}>
            <DropFile onKept={(item) => setParams({ id: item.id })} />
          </div>
        </div>
        {chosen ? <Detail key={chosen.id} item={chosen} /> : <EmptyState title={strings.data.pick} icon={<IconData size={24} />} />}
      </div>
    </div>
  );
}

function Detail({ item }: { item: DatasetItem }) {
  const { currentData, error, refetch } = useGetDatasetQuery({ datasetId: item.id });
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  return (
    <div>
      <div className={page.card}>
        <div className={`${page.head} ${page.padded}`} style={{ marginBottom: 0 }}>
          <h2 style={{ fontSize: "1rem", fontWeight: 620 }}>{item.name}</h2>
          <div className={page.aside}>
            {item.origin === "uploaded" && (
              <ActionIcon variant="subtle" color="gray" aria-label={strings.data.remove(item.name)} onClick={() => setAsking(true)}>
                <IconTrash />
              </ActionIcon>
            )}
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
        </div>
        {currentData ? <Stats detail={currentData} /> : <Pending error={error} onRetry={refetch} />}
      </div>
      {currentData && <Problems detail={currentData} />}
      {currentData && <Preview detail={currentData} />}
      <DeleteDialog item={asking ? item : null} onClose={() => setAsking(false)} />
    </div>
  );
}

function Stats({ detail }: { detail: DatasetDetail }) {
  const { report } = detail;
  const facts: [string, string][] = [
    [strings.data.samples, count(report.num_samples)],
    [strings.data.messages, count(report.num_messages)],
    [strings.data.average, report.average_messages.toFixed(1)],
    [strings.data.system, count(report.num_system_messages)],
    [strings.data.references, count(report.num_references)],
    [strings.data.duplicates, count(report.num_duplicates)],
  ];
  return (
    <>
      <dl className={`${page.stats} num`} style={{ borderTop: "1px solid var(--line)" }}>
        {facts.map(([name, value]) => (
          <div key={name} className={page.stat}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <p className={`${page.padded} num dim`} style={{ borderTop: "1px solid var(--line)", paddingBlock: 10 }}>
        {strings.data.length}:{" "}
        {strings.data.lengthValue(count(report.prompt_chars.median), count(report.prompt_chars.p95))} · {strings.data.format}:{" "}
        {report.format} · <span className="mono">sha256 {report.sha256.slice(0, 12)}</span>
      </p>
    </>
  );
}

const SEVERITY_ICONS = { error: IconCross, warning: IconWarn, note: IconInfo };

function Problems({ detail }: { detail: DatasetDetail }) {
  const { problems } = detail.report;
  return (
    <>
      <h2 className={page.heading}>{strings.data.problems}</h2>
      {problems.length === 0 ? (
        <p className="dim">{strings.data.noProblems}</p>
      ) : (
        <div className={page.card}>
          {problems.map((problem) => {
            const Icon = SEVERITY_ICONS[problem.severity];
            return (
              <div key={`${problem.line} ${problem.code}`} className={classes.problem} data-severity={problem.severity}>
                <Icon size={15} />
                <div>
                  {problem.reason} <span className="faint num">{strings.data.where(problem.line, problem.byte_offset)}</span>
                  <p className="dim">{problem.fix}</p>
                </div>
              </div>
            );
          })}
        </div>
      )}
    </>
  );
}

function Preview({ detail }: { detail: DatasetDetail }) {
  return (
    <>
      <h2 className={page.heading}>{strings.data.preview}</h2>
      <div className={page.card}>
        {detail.preview.map((prompt) => (
          <div key={prompt.id} className={classes.prompt}>
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
        ))}
      </div>
    </>
  );
}

function DeleteDialog({ item, onClose }: { item: DatasetItem | null; onClose: () => void }) {
  const [remove, { isLoading }] = useDeleteDatasetMutation();
  return (
    <Modal opened={item !== null} onClose={onClose} title={strings.data.removeTitle}>
      <p>{item && strings.data.removeText(item.name)}</p>
      <div style={{ display: "flex", justifyContent: "flex-end", gap: 8, marginTop: 20 }}>
        <Button variant="default" onClick={onClose} data-autofocus>
          {strings.runs.cancel}
        </Button>
        <Button
          color="red"
          loading={isLoading}
          onClick={async () => {
            if (!item) return;
            const problem = problemOf((await remove({ datasetId: item.id })).error);
            if (problem) notifications.show({ color: "red", title: problem.message, message: problem.hint });
            onClose();
          }}
        >
          {strings.data.removeSure}
        </Button>
      </div>
    </Modal>
  );
}
