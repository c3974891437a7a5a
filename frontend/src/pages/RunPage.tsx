/** One run as a record: configuration, events, answers, files, log. */
import { Button, Tabs } from "@mantine/core";
import { Link, useParams } from "react-router";

import { useGetLogQuery, useGetRunQuery } from "../api";
import { Pending } from "../components/Pending";
import { EventLog } from "../components/run/EventLog";
import { Samples } from "../components/run/Samples";
import { CopyButton } from "../components/ui/CopyButton";
import { EmptyState } from "../components/ui/EmptyState";
import { IconChat, IconDrop, IconResume } from "../components/ui/icons";
import { StateChip } from "../components/ui/StateChip";
import { bytes, moment } from "../lib/format";
import { useRun } from "../store/hooks";
import { strings } from "../strings";
import { Taught } from "./Taught";
import classes from "./RunPage.module.css";
import page from "./page.module.css";

export function RunPage() {
  const { runId = "" } = useParams();
  const { currentData: run, error, refetch } = useGetRunQuery({ runId });
  const { view } = useRun(runId);
  if (error && "status" in error && error.status === 404) {
    return (
      <EmptyState
        title={strings.run.gone}
        hint={strings.run.goneHint}
        icon={<IconDrop size={24} />}
      />
    );
  }
  if (!run) return <Pending error={error} onRetry={refetch} />;
  const { status } = run;
  return (
    <div className={page.page}>
      <div className={page.head}>
        <h1>{status.name}</h1>
        <StateChip state={view?.state ?? status.state} />
        <span className="faint num">{moment(status.created_time)}</span>
        <div className={page.aside}>
          <CopyButton size="sm" text={run.path}>
            {strings.verdict.copyPath}
          </CopyButton>
          <Button
            size="sm"
            variant="default"
            component={Link}
            to={`/runs/${runId}/chat`}
            leftSection={<IconChat />}
          >
            {strings.chat.title}
          </Button>
          <Button
            size="sm"
            component={Link}
            to={`/opd/${runId}`}
            leftSection={<IconDrop />}
          >
            {strings.detail.watch}
          </Button>
        </div>
      </div>
      <Tabs defaultValue="config" keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="config">{strings.detail.config}</Tabs.Tab>
          <Tabs.Tab value="events">{strings.detail.events}</Tabs.Tab>
          <Tabs.Tab value="samples">{strings.detail.samples}</Tabs.Tab>
          {run.config.teacher.type === "chat" && (
            <Tabs.Tab value="taught">{strings.detail.taught}</Tabs.Tab>
          )}
          <Tabs.Tab value="files">{strings.detail.files}</Tabs.Tab>
          <Tabs.Tab value="log">{strings.detail.log}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="config">
          <div className={page.card}>
            <pre
              className={classes.code}
              tabIndex={0}
              aria-label={strings.detail.config}
            >
              {run.config_yaml}
            </pre>
          </div>
          <CopyButton mt="sm" text={run.config_yaml}>
            {strings.detail.copyYaml}
          </CopyButton>
        </Tabs.Panel>
        <Tabs.Panel value="events">
          <div className={`${page.card} ${page.padded}`}>
            {view && <EventLog log={view.log} />}
          </div>
        </Tabs.Panel>
        <Tabs.Panel value="samples">
          {view && (
            <Samples samples={view.samples} state={view.state} />
          )}
        </Tabs.Panel>
        <Tabs.Panel value="taught">
          <Taught
            runId={runId}
            stages={view?.summary.stages ?? status.summary.stages}
          />
        </Tabs.Panel>
        <Tabs.Panel value="files">
          <Files files={run.files} />
        </Tabs.Panel>
        <Tabs.Panel value="log">
          <Log runId={runId} />
        </Tabs.Panel>
      </Tabs>
    </div>
  );
}

function Files({ files }: { files: { name: string; num_bytes: number }[] }) {
  if (files.length === 0) return <EmptyState title={strings.detail.noFiles} />;
  return (
    <div className={page.card}>
      <table className={page.table}>
        <tbody>
          {files.map((file) => (
            <tr key={file.name}>
              <td className="mono">{file.name}</td>
              <td className={page.right}>{bytes(file.num_bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Log({ runId }: { runId: string }) {
  const { data, refetch } = useGetLogQuery(
    { runId },
    { refetchOnMountOrArgChange: true },
  );
  return (
    <>
      <div className={page.card}>
        <pre
          className={`${classes.code} ${classes.wrap}`}
          tabIndex={0}
          aria-label={strings.detail.log}
        >
          {data?.text || strings.detail.noLog}
        </pre>
      </div>
      <Button
        mt="sm"
        size="xs"
        variant="default"
        leftSection={<IconResume size={14} />}
        onClick={() => void refetch()}
      >
        {strings.detail.refresh}
      </Button>
    </>
  );
}
