/** A provider's terms, to be accepted by a person before this run starts; the run keeps the record. */
import { Anchor, Button } from "@mantine/core";

import type { Terms } from "../../api/errors";
import { strings } from "../../strings";
import { Notice } from "../ui/Notice";
import side from "./side.module.css";

interface Props {
  terms: Terms;
  isStarting: boolean;
  /** What accepting leads to, where that is not the start of the run. */
  acceptLabel?: string;
  onAccept: () => void;
  onDismiss: () => void;
}

export function TermsNotice({ terms, isStarting, acceptLabel = strings.before.acceptTerms, onAccept, onDismiss }: Props) {
  return (
    <Notice
      tone="warn"
      alert
      title={terms.title}
      actions={
        <>
          <Button size="xs" loading={isStarting} onClick={onAccept}>
            {acceptLabel}
          </Button>
          <Button size="xs" variant="default" onClick={onDismiss}>
            {strings.before.declineTerms}
          </Button>
        </>
      }
    >
      <p className={side.fine}>{terms.text}</p>
      <Anchor href={terms.address} target="_blank" rel="noreferrer" size="sm">
        {strings.before.readTerms}
      </Anchor>
    </Notice>
  );
}
