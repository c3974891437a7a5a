/** What the teacher can do for this student, as the probe has just found out. */
import { usePreflightQuery } from "../../api";
import type { RunConfig } from "../../api/types";
import { strings } from "../../strings";
import classes from "./setup.module.css";
import type { Draft } from "./useDraft";

export function TeacherFinding({ draft }: { draft: Draft }) {
  const { config } = draft;
  const checks = usePreflightQuery({ preflightRequest: { config: config ?? ({} as RunConfig) } }, { skip: !config });
  const items = checks.currentData?.items ?? [];
  // Only the probe's items have a code: where it found nothing that fits, the first of them that failed says why.
  const finding = items.find((item) => item.id === "pair") ?? items.find((item) => item.code && item.status === "fail");
  if (config && checks.isFetching) return <output className={classes.signal}>{strings.setup.asking}</output>;
  return <output className={classes.signal}>{finding ? finding.detail : strings.setup.notAsked}</output>;
}
