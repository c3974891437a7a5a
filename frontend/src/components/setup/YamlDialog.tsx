/** Putting a configuration in from YAML: pasted or from a file, checked by the server before it replaces anything. */
import { Button, FileButton, Modal, Textarea } from "@mantine/core";
import { useState } from "react";

import { useReadConfigMutation } from "../../api";
import { problemOf } from "../../api/errors";
import { mergeTrees, type Tree } from "../../lib/configForm";
import { strings } from "../../strings";
import { FailureNotice, Notice } from "../ui/Notice";
import classes from "./setup.module.css";
import type { Draft } from "./useDraft";

export function YamlDialog({ draft, opened, onClose }: { draft: Draft; opened: boolean; onClose: () => void }) {
  const [text, setText] = useState("");
  const [read, { data, error, isLoading, reset }] = useReadConfigMutation();
  const problem = problemOf(error);

  function change(next: string) {
    setText(next);
    reset();
  }

  async function take() {
    const answer = await read({ configText: { yaml: text } });
    if (!answer.data?.config) return;
    draft.replace(mergeTrees(draft.defaults, answer.data.config as unknown as Tree));
    change("");
    onClose();
  }

  return (
    <Modal opened={opened} onClose={onClose} title={strings.setup.yamlTitle} size="lg">
      <div className={classes.stack}>
        <p className="dim">{strings.setup.yamlHint}</p>
        <Textarea
          aria-label="YAML"
          autosize
          minRows={8}
          maxRows={18}
          spellCheck={false}
          data-autofocus
          classNames={{ input: "mono" }}
          value={text}
          onChange={(event) => change(event.currentTarget.value)}
        />
        {problem && <FailureNotice failure={problem} />}
        {data && !data.ok && (
          <Notice tone="bad" alert title={strings.before.problems}>
            <ul className={classes.problemList}>
              {data.fields.map(({ path, message }) => (
                <li key={`${path} ${message}`}>
                  <span className="mono">{path}</span>: {message}
                </li>
              ))}
            </ul>
          </Notice>
        )}
        <div className={classes.actions}>
          <FileButton accept=".yaml,.yml,.json" onChange={(file) => void file?.text().then(change)}>
            {(props) => (
              <Button {...props} variant="default">
                {strings.setup.yamlFile}
              </Button>
            )}
          </FileButton>
          <Button loading={isLoading} disabled={text.trim() === ""} onClick={() => void take()} ml="auto">
            {strings.setup.yamlTake}
          </Button>
        </div>
      </div>
    </Modal>
  );
}
