/** What an alarm advises, as buttons: stop and save, back to the last checkpoint, the same again but slower. */
import { Button } from "@mantine/core";
import { useNavigate } from "react-router";

import { useGetRunQuery, useStopRunMutation } from "../../api";
import type { AlarmRaised } from "../../api/types";
import { learningRate } from "../../lib/format";
import type { RunView } from "../../store/slices/opdSlice";
import { strings } from "../../strings";
import { keepAsDraft } from "../setup/draftStorage";

const t = strings.now.remedies;
const SLOWER = 3;

export function Remedies({ alarm, view }: { alarm: AlarmRaised; view: RunView }) {
  const { currentData: run } = useGetRunQuery({ runId: view.runId });
  const [stop, { isLoading }] = useStopRunMutation();
  const navigate = useNavigate();
  // A run that began under an older version logs alarms without them.
  const remedies = (alarm.remedies as AlarmRaised["remedies"] | undefined) ?? [];
  const { checkpoint_step: saved, latest } = view.summary;
  const end = (mode: "save" | "discard") => stop({ stopRequest: { run_id: view.runId, mode } });
  const rate = run?.config.learning_rate ?? latest.learning_rate ?? null;
  return (
    <>
      {remedies.includes("pause") && (
        <Button size="compact-xs" variant="default" loading={isLoading} onClick={() => void end("save")}>
          {t.pause}
        </Button>
      )}
      {remedies.includes("roll_back") && saved !== null && (
        <Button size="compact-xs" variant="default" loading={isLoading} title={t.rollBackHint} onClick={() => void end("discard")}>
          {t.rollBack(saved)}
        </Button>
      )}
      {remedies.includes("lower_learning_rate") && run && rate !== null && (
        <Button
          size="compact-xs"
          variant="default"
          loading={isLoading}
          title={t.slowerHint}
          onClick={() => {
            keepAsDraft({ ...run.config, learning_rate: Number((rate / SLOWER).toPrecision(2)) });
            void end("save").then(() => navigate("/opd"));
          }}
        >
          {t.slower(learningRate(Number((rate / SLOWER).toPrecision(2))))}
        </Button>
      )}
    </>
  );
}
