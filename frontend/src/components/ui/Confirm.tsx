/** A question before something is destroyed. Keeping it is what Enter does. */
import { Button, Modal } from "@mantine/core";
import type { ReactNode } from "react";

import classes from "./ui.module.css";

interface Props {
  opened: boolean;
  title: string;
  children: ReactNode;
  /** The words of the two answers. */
  keep: string;
  sure: string;
  isBusy?: boolean;
  onClose: () => void;
  onSure: () => void;
}

export function Confirm({ opened, title, children, keep, sure, isBusy = false, onClose, onSure }: Props) {
  return (
    <Modal opened={opened} onClose={onClose} title={title}>
      <p>{children}</p>
      <div className={classes.confirmActions}>
        <Button variant="default" onClick={onClose} data-autofocus>
          {keep}
        </Button>
        <Button color="red" loading={isBusy} onClick={onSure}>
          {sure}
        </Button>
      </div>
    </Modal>
  );
}
