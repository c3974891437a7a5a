/** The OPD page: set up a run, watch it, read its verdict. The run's id in the address says which of these. */
import { lazy, Suspense, useState } from "react";
import { useParams, useSearchParams } from "react-router";

import { Pending } from "../components/Pending";
import { BeforeStart } from "../components/run/BeforeStart";
import { IdlePanel } from "../components/run/IdlePanel";
import { useDraft } from "../components/setup/useDraft";
import { markTourSeen } from "../components/tour/Invitation";
import { strings } from "../strings";
import { Columns } from "./Columns";

/** The form brings most of the controls; it is fetched beside the start page, which does not wait for it. */
const setupPanel = import("../components/setup/SetupPanel");
const SetupPanel = lazy(async () => ({ default: (await setupPanel).SetupPanel }));
const FirstTour = lazy(() => import("../components/tour/FirstTour"));
const WatchedRun = lazy(async () => ({ default: (await import("./WatchedRun")).WatchedRun }));

export function OPDPage() {
  const { runId } = useParams();
  return runId ? <WatchedRun key={runId} runId={runId} /> : <NewRun />;
}

function NewRun() {
  const { draft, error, retry } = useDraft();
  const [tab, setTab] = useState("run");
  const [params, setParams] = useSearchParams();
  if (!draft) return <Pending error={error} onRetry={retry} />;
  return (
    <>
    <Columns
      tab={tab}
      onTab={setTab}
      columns={[
        { id: "setup", label: strings.setup.title, content: <Suspense><SetupPanel draft={draft} /></Suspense> },
        { id: "run", label: strings.run.title, content: <IdlePanel draft={draft} onExample={() => setTab("side")} /> },
        { id: "side", label: strings.before.title, content: <BeforeStart draft={draft} /> },
      ]}
    />
    {params.has("tour") && (
      <Suspense>
        <FirstTour
          onTab={setTab}
          onClose={() => {
            markTourSeen();
            setParams({}, { replace: true });
          }}
        />
      </Suspense>
    )}
    </>
  );
}
