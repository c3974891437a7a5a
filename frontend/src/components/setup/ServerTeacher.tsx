/** A teacher behind a scoring server: where it is, what it is called there, and how it is asked. */
import { strings } from "../../strings";
import { FieldControl } from "./FieldControl";
import classes from "./setup.module.css";
import type { Draft } from "./useDraft";

const FIELDS = ["base_url", "model", "dialect", "tokenizer"] as const;

export function ServerTeacher({ draft }: { draft: Draft }) {
  return (
    <div className={classes.stack}>
      {FIELDS.map((name) => {
        const path = `teacher.${name}`;
        const field = draft.fields.find((found) => found.path === path);
        return (
          field && (
            <FieldControl
              key={path}
              field={field}
              label={strings.setup.server[name]}
              value={draft.get(path)}
              problem={draft.problems[path]}
              onChange={(value) => draft.set(path, value)}
            />
          )
        );
      })}
    </div>
  );
}
