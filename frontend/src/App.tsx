/** The frame and the routes. Pages are loaded when they are opened. */
import { useHotkeys } from "@mantine/hooks";
import { openSpotlight } from "@mantine/spotlight";
import { lazy, Suspense, useState } from "react";
import { Navigate, Route, Routes } from "react-router";

import { useListRunsQuery } from "./api";
import { problemOf } from "./api/errors";
import classes from "./App.module.css";
import { ErrorBoundary } from "./components/ErrorBoundary";
import { Sidebar } from "./components/Sidebar";
import { EmptyState } from "./components/ui/EmptyState";
import { IconDrop, IconLock } from "./components/ui/icons";
import { strings } from "./strings";

/** Not needed for the first paint. */
const Commands = lazy(async () => ({ default: (await import("./components/Commands")).Commands }));
const Notifications = lazy(async () => ({ default: (await import("@mantine/notifications")).Notifications }));
const OPDPage = lazy(async () => ({ default: (await import("./pages/OPDPage")).OPDPage }));
const RunsPage = lazy(async () => ({ default: (await import("./pages/RunsPage")).RunsPage }));
const RunPage = lazy(async () => ({ default: (await import("./pages/RunPage")).RunPage }));
const ComparePage = lazy(async () => ({ default: (await import("./pages/ComparePage")).ComparePage }));
const PlaygroundPage = lazy(async () => ({ default: (await import("./pages/PlaygroundPage")).PlaygroundPage }));
const DatasetsPage = lazy(async () => ({ default: (await import("./pages/DatasetsPage")).DatasetsPage }));
const TeachersPage = lazy(async () => ({ default: (await import("./pages/TeachersPage")).TeachersPage }));
const CostsPage = lazy(async () => ({ default: (await import("./pages/CostsPage")).CostsPage }));
const SettingsPage = lazy(async () => ({ default: (await import("./pages/SettingsPage")).SettingsPage }));

const RETRY_MS = 3000;

export function App() {
  // Here and not in the palette, which is still being fetched when a quick hand presses the key.
  useHotkeys([["mod+K", openSpotlight]], []);
  return (
    <ErrorBoundary>
      <a className="skip-link" href="#content">
        {strings.app.skip}
      </a>
      <Gate>
        <div className={classes.frame}>
          <Sidebar />
          <main id="content" className={classes.content} tabIndex={-1}>
            <ErrorBoundary>
              <Suspense fallback={<output className={classes.loading}>{strings.app.loading}</output>}>
                <Routes>
                  <Route path="/" element={<Start />} />
                  <Route path="/opd" element={<OPDPage />} />
                  <Route path="/opd/:runId" element={<OPDPage />} />
                  <Route path="/runs" element={<RunsPage />} />
                  <Route path="/runs/compare" element={<ComparePage />} />
                  <Route path="/runs/:runId" element={<RunPage />} />
                  <Route path="/runs/:runId/chat" element={<PlaygroundPage />} />
                  <Route path="/datasets" element={<DatasetsPage />} />
                  <Route path="/teachers" element={<TeachersPage />} />
                  <Route path="/costs" element={<CostsPage />} />
                  <Route path="/settings" element={<SettingsPage />} />
                  <Route path="*" element={<EmptyState title={strings.app.notFound} icon={<IconDrop size={24} />} />} />
                </Routes>
              </Suspense>
            </ErrorBoundary>
          </main>
        </div>
        <Suspense>
          <Notifications position="bottom-right" autoClose={5000} />
          <Commands />
        </Suspense>
      </Gate>
    </ErrorBoundary>
  );
}

/** Leads to the run at work, else to a new one. */
function Start() {
  const { data } = useListRunsQuery({});
  const active = data?.items.find((run) => run.state === "running" || run.state === "stopping" || run.state === "queued");
  return <Navigate replace to={active ? `/opd/${active.run_id}` : "/opd"} />;
}

/** Shows nothing of the studio to a page without a session, and waits for a studio that is not there. */
function Gate({ children }: { children: React.ReactNode }) {
  const [away, setAway] = useState(false);
  const { data, error } = useListRunsQuery({}, { pollingInterval: away ? RETRY_MS : 0 });
  const problem = problemOf(error);
  const unreachable = !data && problem?.code === "server_unreachable";
  if (unreachable !== away) setAway(unreachable);
  if (problem?.status === 401 || problem?.status === 403) {
    return (
      <EmptyState title={strings.app.noSession} hint={strings.app.noSessionHint} icon={<IconLock size={24} />} />
    );
  }
  if (unreachable) {
    return <EmptyState title={strings.app.unreachable} hint={strings.app.unreachableHint} icon={<IconDrop size={24} />} />;
  }
  return data || error ? children : null;
}
