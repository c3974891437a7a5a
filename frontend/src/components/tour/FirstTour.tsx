/** Where is what, in four steps. Shown to who asks for it; left at any step with Escape or Skip. */
import { Tour } from "@mantine/core";

import { strings } from "../../strings";

interface Props {
  /** Shows a column where they are tabs. */
  onTab: (tab: string) => void;
  onClose: () => void;
}

const STEPS = [
  { column: "setup", position: "right" },
  { column: "side", position: "left" },
  { column: "run", position: "bottom" },
] as const;

export default function FirstTour({ onTab, onClose }: Props) {
  return (
    <Tour active onClose={onClose} labels={strings.tour.labels} maxWidth={320} spotlightPadding={0} spotlightRadius={0}>
      {STEPS.map(({ column, position }, at) => (
        <Tour.Step
          key={column}
          target={`[data-column="${column}"]`}
          position={position}
          title={strings.tour.steps[at]?.[0]}
          onStepOpen={() => onTab(column)}
        >
          {strings.tour.steps[at]?.[1]}
        </Tour.Step>
      ))}
      <Tour.Step target="nav" position="right" title={strings.tour.steps[3]?.[0]} onStepOpen={() => onTab("run")}>
        {strings.tour.steps[3]?.[1]}
      </Tour.Step>
    </Tour>
  );
}
