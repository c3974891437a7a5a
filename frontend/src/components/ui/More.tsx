/** Something that is there on demand. */
import { UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { type ReactNode, useId } from "react";

import { IconChevron } from "./icons";
import classes from "./ui.module.css";

export function More({ title, children }: { title: string; children: ReactNode }) {
  const [opened, { toggle }] = useDisclosure(false);
  const id = useId();
  return (
    <div className={classes.more}>
      <UnstyledButton className={classes.moreHead} aria-expanded={opened} aria-controls={id} onClick={toggle}>
        <span className={classes.chevron} data-open={opened || undefined}>
          <IconChevron size={14} />
        </span>
        {title}
      </UnstyledButton>
      <div id={id}>{opened && children}</div>
    </div>
  );
}
