/** A small "i" that explains; reachable with the keyboard, read out by screen readers. */
import { Tooltip, UnstyledButton } from "@mantine/core";

import { strings } from "../../strings";
import { IconInfo } from "./icons";
import classes from "./ui.module.css";

export function HelpTip({ label, text }: { label: string; text: string }) {
  return (
    <Tooltip label={text} openDelay={100}>
      <UnstyledButton className={classes.help} aria-label={strings.setup.more(label)} tabIndex={0} type="button">
        <IconInfo size={14} />
      </UnstyledButton>
    </Tooltip>
  );
}
