/** Choosing the prompts: an example, an earlier upload, or a file dropped here, checked line by line. */
import { Anchor, Button, Loader, Select } from "@mantine/core";
import { useRef, useState } from "react";

import { useGetDatasetQuery, useListDatasetsQuery, useUploadDatasetMutation } from "../../api";
import { problemOf } from "../../api/errors";
import type { DatasetItem, UploadAnswer } from "../../api/types";
import { count, modelName, shortCount } from "../../lib/format";
import { strings } from "../../strings";
import { IconUpload } from "../ui/icons";
import { FailureNotice, Notice } from "../ui/Notice";
import classes from "./setup.module.css";

const MAX_SHOWN = 4;

interface Props {
  path: string;
  testFraction: number;
  testPath: string | null;
  problem?: string;
  onChange: (path: string) => void;
}

export function DataPicker({ path, testFraction, testPath, problem, onChange }: Props) {
  const { data } = useListDatasetsQuery();
  const items = data?.items ?? [];
  const chosen = items.find((item) => item.path === path);
  const groups = (["bundled", "uploaded"] as const).map((origin) => ({
    group: strings.setup[origin],
    items: items.filter((item) => item.origin === origin && item.ok).map((item) => ({ value: item.path, label: item.name })),
  }));
  // A path from a stored configuration that is none of the known datasets.
  const other = path && !chosen ? [{ value: path, label: modelName(path) }] : [];
  return (
    <div className={classes.stack}>
      <Select
        size="sm"
        aria-label={strings.setup.dataset}
        placeholder={strings.setup.datasetPlaceholder}
        data={[...other, ...groups.filter((group) => group.items.length > 0)]}
        value={path || null}
        error={problem}
        allowDeselect={false}
        onChange={(wanted) => wanted !== null && onChange(wanted)}
        renderOption={({ option }) => <DatasetOption item={items.find((item) => item.path === option.value)} label={option.label} />}
      />
      {chosen && <DataFacts item={chosen} testFraction={testFraction} testPath={testPath} />}
      <DropFile onKept={(item) => onChange(item.path)} />
    </div>
  );
}

function DatasetOption({ item, label }: { item: DatasetItem | undefined; label: string }) {
  return (
    <div className={classes.modelOption}>
      <span>{label}</span>
      {item && <span className="faint num">{count(item.num_samples)}</span>}
    </div>
  );
}

function DataFacts({ item, testFraction, testPath }: { item: DatasetItem; testFraction: number; testPath: string | null }) {
  const { data } = useGetDatasetQuery({ datasetId: item.id });
  const report = data?.report;
  const tests = testPath ? null : heldOut(item.num_samples, testFraction);
  return (
    <div className={classes.dataFacts}>
      <dl className={`${classes.stats} num`}>
        <Stat value={count(item.num_samples)} label={strings.setup.statPrompts} />
        <Stat value={report ? report.average_messages.toFixed(1) : "–"} label={strings.setup.statMessages} />
        <Stat value={report ? count(report.num_system_messages) : "–"} label={strings.setup.statSystem} />
        <Stat value={report ? shortCount(report.prompt_chars.median) : "–"} label={strings.setup.statLength} />
      </dl>
      {tests !== null && (
        <p className={`${classes.under} num`}>{strings.setup.statSplit(item.num_samples - tests, tests)}</p>
      )}
    </div>
  );
}

function Stat({ value, label }: { value: string; label: string }) {
  return (
    <div>
      <dd>{value}</dd>
      <dt>{label}</dt>
    </div>
  );
}

/** As the data loader splits: at least one prompt on each side. */
function heldOut(samples: number, fraction: number): number {
  if (fraction === 0 || samples < 2) return 0;
  return Math.min(samples - 1, Math.max(1, Math.round(samples * fraction)));
}

/** A place to drop a file; what the check finds is shown line by line. */
export function DropFile({ onKept }: { onKept: (item: DatasetItem) => void }) {
  const [upload, { isLoading, error, reset }] = useUploadDatasetMutation();
  const [over, setOver] = useState(false);
  const [answer, setAnswer] = useState<UploadAnswer | null>(null);
  const [file, setFile] = useState<File | null>(null);
  const input = useRef<HTMLInputElement>(null);
  const problem = problemOf(error);

  async function take(given: File | undefined, clean = false) {
    if (!given) return;
    reset();
    setAnswer(null);
    setFile(given);
    const { data } = await upload({ name: given.name, clean, body: given });
    if (input.current) input.current.value = "";
    if (!data) return;
    if (data.dataset) onKept(data.dataset);
    else setAnswer(data);
  }

  return (
    <>
      <div
        className={classes.drop}
        data-over={over || undefined}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          void take(event.dataTransfer.files[0]);
        }}
      >
        {isLoading ? <Loader size={16} /> : <IconUpload size={16} />}
        <div>
          {isLoading ? (
            <output>{strings.setup.uploading(file?.name ?? "")}</output>
          ) : (
            <>
              {strings.setup.drop}{" "}
              <Anchor component="button" type="button" size="sm" onClick={() => input.current?.click()}>
                {strings.setup.browse}
              </Anchor>
              <p className={classes.under}>{strings.setup.dropFormats}</p>
            </>
          )}
        </div>
        <input
          ref={input}
          type="file"
          accept=".jsonl,.json,.txt,application/jsonl"
          hidden
          aria-label={strings.setup.drop}
          onChange={(event) => void take(event.currentTarget.files?.[0])}
        />
      </div>
      {problem && <FailureNotice failure={problem} />}
      {answer && file && <Rejected name={file.name} answer={answer} onKeep={() => void take(file, true)} />}
    </>
  );
}

function Rejected({ name, answer, onKeep }: { name: string; answer: UploadAnswer; onKeep: () => void }) {
  const { report } = answer;
  const found = report.problems.filter((item) => item.severity === "error");
  return (
    <Notice
      tone="bad"
      alert
      title={strings.setup.rejected(name, report.num_errors)}
      actions={
        report.num_samples > 0 && (
          <Button size="xs" variant="default" title={strings.setup.keepGoodHint} onClick={onKeep}>
            {strings.setup.keepGood(report.num_samples)}
          </Button>
        )
      }
    >
      <ul className={classes.problemList}>
        {found.slice(0, MAX_SHOWN).map((item) => (
          <li key={`${item.line} ${item.code} ${item.byte_offset}`}>
            <span className="num">{strings.setup.line(item.line)}</span>: {item.reason}.{" "}
            <span className="dim">{item.fix}</span>
          </li>
        ))}
      </ul>
      {report.num_errors > MAX_SHOWN && (
        <p className="dim">{strings.setup.moreProblems(report.num_errors - Math.min(MAX_SHOWN, found.length))}</p>
      )}
    </Notice>
  );
}
