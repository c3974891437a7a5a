/** One provider's key going in. What is typed lives in this form only, and is gone when it was kept. */
import { Button, PasswordInput } from "@mantine/core";
import { useState } from "react";

import { usePutKeyMutation } from "../../api";
import { problemOf } from "../../api/errors";
import { strings } from "../../strings";
import { Notice } from "../ui/Notice";
import classes from "./keys.module.css";

const t = strings.providerKeys;
const SHORTEST = 8;

interface Props {
  provider: string;
  onKept?: () => void;
}

export function KeyForm({ provider, onKept }: Props) {
  const [put, { error, isLoading, reset }] = usePutKeyMutation();
  const [typed, setTyped] = useState("");
  const problem = problemOf(error);
  return (
    <form
      className={classes.form}
      autoComplete="off"
      onSubmit={(event) => {
        event.preventDefault();
        void put({ provider, newKey: { value: typed.trim() } })
          .unwrap()
          .then(
            () => {
              setTyped("");
              reset(); // the store keeps what a request was made of until then
              onKept?.();
            },
            () => {},
          );
      }}
    >
      <PasswordInput
        className={classes.field}
        size="sm"
        label={t.label(t.names[provider] ?? provider)}
        description={t.where}
        autoComplete="off"
        spellCheck={false}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
      />
      <Button type="submit" size="sm" loading={isLoading} disabled={typed.trim().length < SHORTEST}>
        {t.keep}
      </Button>
      {problem && (
        <Notice tone="bad" title={problem.message} alert>
          {problem.hint}
        </Notice>
      )}
    </form>
  );
}
