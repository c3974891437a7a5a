/** Deleting a run, after a question that names what goes with it. */
import { useDeleteRunMutation } from "../api";
import type { RunListItem } from "../api/types";
import { toldIfRefused } from "../components/refusals";
import { Confirm } from "../components/ui/Confirm";
import { strings } from "../strings";

export function DeleteRun({ run, onClose }: { run: RunListItem | null; onClose: (deleted: boolean) => void }) {
  const [remove, { isLoading }] = useDeleteRunMutation();
  return (
    <Confirm
      opened={run !== null}
      title={strings.runs.deleteTitle}
      keep={strings.runs.cancel}
      sure={strings.runs.deleteSure}
      isBusy={isLoading}
      onClose={() => onClose(false)}
      onSure={async () => run && onClose(toldIfRefused(await remove({ runId: run.run_id })))}
    >
      {run && strings.runs.deleteText(run.name)}
    </Confirm>
  );
}
