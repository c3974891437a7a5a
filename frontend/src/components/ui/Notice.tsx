/** Something that needs attention: what, why, what to do, and a way to report it. */
import type { ReactNode } from "react";

import { strings } from "../../strings";
import { CopyButton } from "./CopyButton";
import { IconCheck, IconCross, IconInfo, IconWarn } from "./icons";
import classes from "./ui.module.css";

export type Tone = "info" | "good" | "warn" | "bad";

const ICONS = { info: IconInfo, good: IconCheck, warn: IconWarn, bad: IconCross };

interface Props {
  tone: Tone;
  title: ReactNode;
  children?: ReactNode;
  actions?: ReactNode;
  /** Announced at once by screen readers. */
  alert?: boolean;
}

export function Notice({ tone, title, children, actions, alert = false }: Props) {
  const Icon = ICONS[tone];
  return (
    <div className={classes.notice} data-tone={tone} role={alert ? "alert" : undefined}>
      <span className={classes.noticeIcon}>
        <Icon size={16} />
      </span>
      <div className={classes.noticeBody}>
        <p className={classes.noticeTitle}>{title}</p>
        {children}
        {actions && <div className={classes.noticeActions}>{actions}</div>}
      </div>
    </div>
  );
}

export interface Failure {
  code: string;
  message: string;
  hint: string;
}

/** An error with its code, cause and next step. `diagnostics` makes the text to copy. */
export function FailureNotice({
  failure,
  title,
  diagnostics,
  actions,
}: {
  failure: Failure;
  title?: string;
  diagnostics?: () => string;
  actions?: ReactNode;
}) {
  return (
    <Notice
      tone="bad"
      alert
      title={title ?? failure.message}
      actions={
        <>
          {actions}
          {diagnostics && <CopyButton text={diagnostics}>{strings.error.copy}</CopyButton>}
        </>
      }
    >
      {title && <p className={classes.noticeText}>{failure.message}</p>}
      {failure.hint && <p className={classes.noticeText}>{failure.hint}</p>}
      <p className={`${classes.noticeCode} mono`}>{failure.code}</p>
    </Notice>
  );
}
