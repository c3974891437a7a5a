/** Stopping, with what it will do in words. Saving is the default; discarding asks again. */
import { Button, Menu } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";

import { useStopRunMutation } from "../../api";
import { problemOf } from "../../api/errors";
import { strings } from "../../strings";
import { diagnosticsText } from "../diagnostics";
import { Confirm } from "../ui/Confirm";
import { IconChevron, IconStop, IconTrash } from "../ui/icons";
import { FailureNotice } from "../ui/Notice";
import side from "./side.module.css";

export function StopMenu({ runId, isStopping }: { runId: string; isStopping: boolean }) {
  const [stop, { isLoading, error, originalArgs }] = useStopRunMutation();
  const [asking, { open, close }] = useDisclosure(false);
  const problem = problemOf(error);
  const discarding = originalArgs?.stopRequest.mode === "discard";

  if (isStopping) {
    return (
      <output className={side.startHint}>
        {discarding ? strings.now.stoppingDiscard : strings.now.stopping}
      </output>
    );
  }
  return (
    <>
      {problem && <FailureNotice failure={problem} diagnostics={() => diagnosticsText({ failure: problem })} />}
      <Menu position="top-end" width={300} withinPortal>
        <Button.Group>
          <Button
            fullWidth
            variant="default"
            size="md"
            leftSection={<IconStop size={16} />}
            loading={isLoading}
            title={strings.now.stopSaveHint}
            onClick={() => void stop({ stopRequest: { run_id: runId, mode: "save" } })}
          >
            {strings.now.stopSave}
          </Button>
          <Menu.Target>
            <Button variant="default" size="md" px="xs" aria-label={strings.now.stop}>
              <IconChevron />
            </Button>
          </Menu.Target>
        </Button.Group>
        <Menu.Dropdown>
          <Menu.Item
            leftSection={<IconStop />}
            onClick={() => void stop({ stopRequest: { run_id: runId, mode: "save" } })}
          >
            {strings.now.stopSave}
            <p className={side.fine}>{strings.now.stopSaveHint}</p>
          </Menu.Item>
          <Menu.Item leftSection={<IconTrash />} onClick={open}>
            {strings.now.discard}
            <p className={side.fine}>{strings.now.discardHint}</p>
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Confirm
        opened={asking}
        title={strings.now.discardTitle}
        keep={strings.now.keep}
        sure={strings.now.discardSure}
        onClose={close}
        onSure={() => {
          close();
          void stop({ stopRequest: { run_id: runId, mode: "discard" } });
        }}
      >
        {strings.now.discardHint}
      </Confirm>
    </>
  );
}
