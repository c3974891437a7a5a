/** A run that exists, in three columns: its stored configuration, its course, and what to do now or its verdict. */
import { useState } from "react";

import { useGetRunQuery } from "../api";
import { Pending } from "../components/Pending";
import { isActive } from "../components/run/derive";
import { NowPanel } from "../components/run/NowPanel";
import { RunColumn } from "../components/run/RunColumn";
import { StoredConfig } from "../components/setup/StoredConfig";
import { EmptyState } from "../components/ui/EmptyState";
import { IconDrop } from "../components/ui/icons";
import { VerdictPanel } from "../components/verdict/VerdictPanel";
import { useRun } from "../store/hooks";
import { strings } from "../strings";
import { Columns } from "./Columns";

export function WatchedRun({ runId }: { runId: string }) {
  const { view, retryNow } = useRun(runId);
  const { currentData: run, error, refetch } = useGetRunQuery({ runId });
  const [tab, setTab] = useState("run");
  if (error && "status" in error && error.status === 404) {
    return <EmptyState title={strings.run.gone} hint={strings.run.goneHint} icon={<IconDrop size={24} />} />;
  }
  if (!view || !run || view.state === null) return <Pending error={error} onRetry={refetch} />;
  const isAtWork = isActive(view.state);
  return (
    <Columns
      tab={tab}
      onTab={setTab}
      columns={[
        { id: "setup", label: strings.setup.title, content: <StoredConfig runId={runId} /> },
        {
          id: "run",
          label: strings.run.title,
          content: <RunColumn view={view} name={run.config.name || view.summary.started?.name || run.status.name} config={run.config} onRetry={retryNow} />,
        },
        {
          id: "side",
          label: isAtWork ? strings.now.title : strings.verdict.title,
          content: isAtWork ? <NowPanel view={view} /> : <VerdictPanel view={view} />,
        },
      ]}
    />
  );
}
