/** What a page shows instead of its data: that it is coming, or why it is not, and how to ask again. */
import { Button, Loader } from "@mantine/core";

import { problemOf } from "../api/errors";
import { strings } from "../strings";
import { diagnosticsText } from "./diagnostics";
import { FailureNotice } from "./ui/Notice";
import classes from "./Pending.module.css";

interface Props {
  error: Parameters<typeof problemOf>[0];
  onRetry: () => void;
}

export function Pending({ error, onRetry }: Props) {
  const problem = problemOf(error);
  if (!problem) {
    return (
      <output className={classes.waiting}>
        <Loader size={18} aria-hidden />
        <span className="visually-hidden">{strings.app.loading}</span>
      </output>
    );
  }
  return (
    <div className={classes.failed}>
      <FailureNotice
        failure={problem}
        diagnostics={() => diagnosticsText({ failure: problem })}
        actions={
          <Button size="xs" onClick={onRetry}>
            {strings.app.tryAgain}
          </Button>
        }
      />
    </div>
  );
}
