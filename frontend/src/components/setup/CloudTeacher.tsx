/** A teacher behind a chat API: which, what a run may spend on it, and its price where nobody else knows it. */
import { Anchor, Autocomplete } from "@mantine/core";
import { Link } from "react-router";

import { useListTeachersQuery } from "../../api";
import { strings } from "../../strings";
import { MissingKey } from "../keys/MissingKey";
import { More } from "../ui/More";
import { FieldControl } from "./FieldControl";
import classes from "./setup.module.css";
import type { Draft } from "./useDraft";

const t = strings.setup.chat;
const SHOWN_MODELS = 50;
const LESS_USUAL = [
  "teacher.base_url",
  "teacher.input_usd_per_million",
  "teacher.output_usd_per_million",
  "budget_tokens",
  "teacher.thinking_tokens",
  "teacher.reply_form",
] as const;

export function CloudTeacher({ draft }: { draft: Draft }) {
  const { data: teachers } = useListTeachersQuery();
  const model = draft.get("teacher.model");
  // A server of one's own is asked without a key.
  const provider = typeof model === "string" && !draft.get("teacher.base_url") ? model.split("/")[0] : "";
  return (
    <div className={classes.stack}>
      <p className="dim">{t.what}</p>
      <Autocomplete
        size="sm"
        label={t.model}
        placeholder="provider/model"
        data={[...new Set(teachers?.catalogue.map((entry) => entry.id))]}
        limit={SHOWN_MODELS}
        value={typeof model === "string" ? model : ""}
        error={draft.problems["teacher.model"]}
        onChange={(value) => draft.set("teacher.model", value)}
      />
      {provider && <MissingKey provider={provider} />}
      <Setting draft={draft} path="budget_usd" />
      <More title={t.more}>
        <div className={classes.stack}>
          <p className="dim">{t.moreHint}</p>
          {LESS_USUAL.map((path) => (
            <Setting key={path} draft={draft} path={path} />
          ))}
        </div>
      </More>
      <Anchor component={Link} to="/teachers" size="sm">
        {strings.setup.cloudCatalogue}
      </Anchor>
    </div>
  );
}

function Setting({ draft, path }: { draft: Draft; path: keyof typeof t.fields }) {
  const field = draft.fields.find((found) => found.path === path);
  if (!field) return null;
  return (
    <FieldControl
      field={field}
      label={t.fields[path]}
      value={draft.get(path)}
      problem={draft.problems[path]}
      onChange={(value) => draft.set(path, value)}
    />
  );
}
