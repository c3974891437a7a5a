/** Deleting a run, after a question that names what goes with it. */
import { Button, Modal } from "@mantine/core";
import { notifications } from "@mantine/notifications";

import { useDeleteRunMutation } from "../api";
import { problemOf } from "../api/errors";
import type { RunListItem } from "../api/types";
import { strings } from "../strings";
import side from "../components/run/side.module.css";

export function DeleteRun({ run, onClose }: { run: RunListItem | null; onClose: (deleted: boolean) => void }) {
  const [remove, { isLoading }] = useDeleteRunMutation();
  return (
    <Modal opened={run !== null} onClose={() => onClose(false)} title={strings.runs.deleteTitle}>
      <p>{run && strings.runs.deleteText(run.name)}</p>
      <div className={side.modalActions}>
        <Button variant="default" onClick={() => onClose(false)} data-autofocus>
          {strings.runs.cancel}
        </Button>
        <Button
          color="red"
          loading={isLoading}
          onClick={async () => {
            if (!run) return;
            const problem = problemOf((await remove({ runId: run.run_id })).error);
            if (problem) notifications.show({ color: "red", title: problem.message, message: problem.hint });
            onClose(!problem);
          }}
        >
          {strings.runs.deleteSure}
        </Button>
      </div>
    </Modal>
  );
}
