/** The run's model for other programs: choose a form, watch it being written and proven, take the path along. */
import { Button, Progress, SegmentedControl } from "@mantine/core";
import { useState } from "react";

import { useListExportsQuery, useStartExportMutation } from "../../api";
import { problemOf } from "../../api/errors";
import type { ExportRecord, RunDetail } from "../../api/types";
import { bytes } from "../../lib/format";
import { strings } from "../../strings";
import side from "../run/side.module.css";
import { CopyButton } from "../ui/CopyButton";
import { More } from "../ui/More";
import { FailureNotice } from "../ui/Notice";
import { Section } from "../ui/Section";
import classes from "./ExportPanel.module.css";

type Form = ExportRecord["form"];

const FORMS: Form[] = ["merged", "gguf", "ollama", "lora"];
const POLL_MS = 700;

export function ExportPanel({ run }: { run: RunDetail }) {
  const runId = run.status.run_id;
  const [form, setForm] = useState<Form>("merged");
  const [isPolling, setPolling] = useState(false);
  const { data } = useListExportsQuery({ runId }, { pollingInterval: isPolling ? POLL_MS : 0 });
  const [start, { isLoading, error }] = useStartExportMutation();
  const items = data?.items ?? [];
  const atWork = items.find((item) => item.state === "running");
  if (isPolling !== (atWork !== undefined)) setPolling(atWork !== undefined);
  const shown = items.find((item) => item.form === form);
  const problem = problemOf(error);
  const words = strings.export.forms[form];
  return (
    <Section title={strings.export.title}>
      <SegmentedControl
        fullWidth
        size="xs"
        aria-label={strings.export.form}
        data={FORMS.map((value) => ({ value, label: strings.export.forms[value].name }))}
        value={form}
        onChange={(value) => setForm(value as Form)}
      />
      <p className={`${side.fine} ${classes.help}`}>{words.help}</p>
      {atWork ? (
        <AtWork record={atWork} />
      ) : (
        <div className={classes.done}>
          {problem && <FailureNotice failure={problem} />}
          {!problem && shown?.error && <FailureNotice failure={shown.error} title={strings.export.failed} />}
          {shown?.report && <Done report={shown.report} />}
          <Button
            fullWidth
            size="sm"
            variant="default"
            loading={isLoading}
            onClick={() => void start({ runId, exportRequest: { form } })}
          >
            {shown?.report ? strings.export.again : strings.export.start(words.name)}
          </Button>
        </div>
      )}
    </Section>
  );
}

function AtWork({ record }: { record: ExportRecord }) {
  const share = record.total ? record.done / record.total : 0;
  return (
    <output className={classes.atWork}>
      <Progress
        value={Math.max(4, share * 100)}
        size={6}
        striped
        animated
        aria-label={strings.export.progress}
        aria-valuetext={record.phase}
      />
      <p className={side.fine}>
        {strings.export.forms[record.form].name} · {record.phase}
      </p>
    </output>
  );
}

function Done({ report }: { report: NonNullable<ExportRecord["report"]> }) {
  const size = report.files.reduce((sum, file) => sum + file.num_bytes, 0);
  return (
    <div className={classes.done}>
      <p className={`${side.fine} mono`} data-testid="export-path">
        {report.path} ({bytes(size)})
      </p>
      <div className={classes.actions}>
        <CopyButton size="compact-xs" text={report.path}>
          {strings.export.copyPath}
        </CopyButton>
        <CopyButton size="compact-xs" text={report.how_to_use}>
          {strings.export.copyCommand}
        </CopyButton>
      </div>
      <More title={strings.export.proven(report.checks.length)}>
        <ul className={classes.checks}>
          {report.checks.map((check) => (
            <li key={check.what} className={side.fine}>
              <b>{check.what}</b>: {check.found}
            </li>
          ))}
        </ul>
      </More>
    </div>
  );
}
