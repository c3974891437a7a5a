/** The centre while a run is watched: how far, the curves, the answers, what happened. */
import { lazy, Suspense } from "react";

import type { RunConfig } from "../../api/types";
import type { RunView } from "../../store/slices/opdSlice";
import { strings } from "../../strings";
import { isActive } from "./derive";
import { EventLog } from "./EventLog";
import charts from "./ChartGrid.module.css";
import classes from "./RunColumn.module.css";
import { RunHeader } from "./RunHeader";
import { Samples } from "./Samples";

/** Charts come with their own library; it is fetched beside this column, which does not wait for it. */
const chartGrid = import("./ChartGrid");
const ChartGrid = lazy(async () => ({ default: (await chartGrid).ChartGrid }));

interface Props {
  view: RunView;
  name: string;
  config: RunConfig | undefined;
  onRetry: () => void;
}

export function RunColumn({ view, name, config, onRetry }: Props) {
  const active = isActive(view.state);
  const showDip = active && view.summary.phase === "distilling" && config?.data.answer_match !== "none";
  return (
    <div className={classes.column}>
      <RunHeader view={view} name={name} config={config} onRetry={onRetry} />
      <div className={classes.body}>
        <Suspense fallback={<p className={charts.chartsEmpty}>{strings.app.loading}</p>}>
          <ChartGrid view={view} />
        </Suspense>
        {showDip && <p className={charts.explain}>{strings.charts.dip}</p>}
        <Samples samples={view.samples} state={view.state} />
        <section className={classes.block}>
          <div className={classes.blockHead}>
            <h2>{strings.run.events}</h2>
          </div>
          <EventLog log={view.log} />
        </section>
      </div>
    </div>
  );
}
