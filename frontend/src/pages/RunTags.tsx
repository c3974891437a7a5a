/** A run's tags: shown as small words, changed in place. */
import { ActionIcon, Popover, TagsInput, Tooltip, UnstyledButton } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useState } from "react";

import { useTagRunMutation } from "../api";
import { problemOf } from "../api/errors";
import type { RunListItem } from "../api/types";
import { IconTag } from "../components/ui/icons";
import { strings } from "../strings";
import classes from "./RunsPage.module.css";

const MAX_TAGS = 12;
const MAX_LENGTH = 40;

export function Tags({ run, onPick }: { run: RunListItem; onPick: (tag: string) => void }) {
  return (
    run.tags.length > 0 && (
      <span className={classes.tags}>
        {run.tags.map((tag) => (
          <UnstyledButton key={tag} className={classes.tag} title={strings.runs.onlyTag(tag)} onClick={() => onPick(tag)}>
            {tag}
          </UnstyledButton>
        ))}
      </span>
    )
  );
}

export function EditTags({ run, known }: { run: RunListItem; known: string[] }) {
  const [opened, setOpened] = useState(false);
  const [tagRun] = useTagRunMutation();

  async function keep(tags: string[]) {
    const problem = problemOf((await tagRun({ runId: run.run_id, runTags: { tags } })).error);
    if (problem) notifications.show({ color: "red", title: problem.message, message: problem.hint });
  }

  return (
    <Popover opened={opened} onChange={setOpened} position="bottom-end" width={280} trapFocus returnFocus withinPortal>
      <Popover.Target>
        <Tooltip label={strings.runs.tags}>
          <ActionIcon variant="subtle" color="gray" aria-label={strings.runs.tagsOf(run.name)} onClick={() => setOpened(!opened)}>
            <IconTag />
          </ActionIcon>
        </Tooltip>
      </Popover.Target>
      <Popover.Dropdown>
        <TagsInput
          size="sm"
          label={strings.runs.tags}
          description={strings.runs.tagsHint}
          data={known}
          maxTags={MAX_TAGS}
          maxLength={MAX_LENGTH}
          comboboxProps={{ withinPortal: false }}
          value={run.tags}
          onChange={(tags) => void keep(tags)}
        />
      </Popover.Dropdown>
    </Popover>
  );
}
