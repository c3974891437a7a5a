/** Prompts as a model reads them: token by token through its chat template, with what is trained on and what is not. */
import { Loader, Select } from "@mantine/core";
import { useState } from "react";

import { useListTeachersQuery, useRenderDatasetQuery } from "../../api";
import { problemOf } from "../../api/errors";
import type { Rendering } from "../../api/types";
import { count, modelName } from "../../lib/format";
import { strings } from "../../strings";
import { readDraft } from "../setup/draftStorage";
import { getPath } from "../../lib/configForm";
import { FailureNotice } from "../ui/Notice";
import classes from "./data.module.css";

const NUM_SHOWN = 5;

export function RenderedPrompts({ datasetId }: { datasetId: string }) {
  const { data: teachers } = useListTeachersQuery();
  const models = (teachers?.local_models ?? []).filter((model) => model.has_chat_template);
  const [wanted, setWanted] = useState<string | null>(null);
  const drafted = getPath(readDraft() ?? {}, "student.model");
  const model = wanted ?? models.find((known) => known.id === drafted)?.id ?? models.at(-1)?.id ?? "";
  const { currentData, error } = useRenderDatasetQuery({ datasetId, model }, { skip: model === "" });
  const problem = problemOf(error);
  if (teachers && models.length === 0) return <p className={`${classes.padded} dim`}>{strings.data.noModel}</p>;
  return (
    <>
      <div className={classes.renderHead}>
        <Select
          size="xs"
          w={220}
          aria-label={strings.data.readBy}
          allowDeselect={false}
          data={models.map((known) => ({ value: known.id, label: known.label || modelName(known.id) }))}
          value={model || null}
          onChange={setWanted}
        />
        {currentData && <Lengths rendering={currentData} />}
      </div>
      {!currentData && !problem && (
        <output className={classes.padded}>
          <Loader size={16} />
        </output>
      )}
      {problem && (
        <div className={classes.padded}>
          <FailureNotice failure={problem} />
        </div>
      )}
      {currentData?.prompts.slice(0, NUM_SHOWN).map((prompt) => (
        <div key={`${prompt.id} ${prompt.line}`} className={classes.prompt}>
          <p className={classes.renderLine}>
            <span>{strings.setup.line(prompt.line)}</span>
            <span>{strings.data.tokens(prompt.num_tokens)}</span>
          </p>
          <pre className={classes.rendered} tabIndex={0} aria-label={strings.setup.line(prompt.line)}>
            {prompt.tokens.map((token, at) => (
              // oxlint-disable-next-line react/no-array-index-key -- tokens have no identity but their place
              <span key={at} className={classes.token} data-special={token.special || undefined}>
                {token.text}
              </span>
            ))}
            {prompt.tokens.length < prompt.num_tokens && " …"}
            <span className={classes.learned}>{strings.data.learned(currentData.end)}</span>
          </pre>
        </div>
      ))}
    </>
  );
}

function Lengths({ rendering }: { rendering: Rendering }) {
  const { num_counted, shortest, median, longest, context_length } = rendering;
  return (
    <p className="dim num">
      {strings.data.tokenLengths(num_counted, count(shortest), count(median), count(longest))}
      {longest >= context_length && <strong className={classes.tooLong}> {strings.data.overContext(count(context_length))}</strong>}
    </p>
  );
}
