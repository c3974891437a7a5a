/** The cap of all runs together, with what this month has used of it. */
import { Button, NumberInput, Progress } from "@mantine/core";
import { useState } from "react";

import { useGetMonthBudgetQuery, useSetMonthBudgetMutation } from "../../api";
import { problemOf } from "../../api/errors";
import { month, nanoUsd } from "../../lib/format";
import { strings } from "../../strings";
import { Notice } from "../ui/Notice";
import classes from "./costs.module.css";

const t = strings.costs;
const NANO = 1e9;

export function MonthBudget() {
  const { data } = useGetMonthBudgetQuery(undefined, { refetchOnMountOrArgChange: true });
  const [set, { error, isLoading }] = useSetMonthBudgetMutation();
  const [typed, setTyped] = useState<string | number | null>(null);
  if (!data) return null;
  const used = data.spent_nano_usd + data.held_nano_usd;
  const cap = data.cap_nano_usd;
  const shown = typed ?? (cap === null ? "" : cap / NANO);
  const problem = problemOf(error);
  return (
    <section className={classes.budget}>
      <p className="dim">{t.budgetHint}</p>
      <p className={`${classes.used} num`}>
        <span>{t.thisMonth(month(data.month))}</span>
        <strong>{cap === null ? nanoUsd(used) : t.ofCap(nanoUsd(used), nanoUsd(cap))}</strong>
      </p>
      {cap !== null && <Progress value={cap === 0 ? 100 : Math.min(100, (100 * used) / cap)} aria-label={t.budget} />}
      <form
        className={classes.form}
        onSubmit={(event) => {
          event.preventDefault();
          void set({ monthCap: { cap_usd: shown === "" ? null : Number(shown) } })
            .unwrap()
            .then(() => setTyped(null), () => {});
        }}
      >
        <NumberInput
          label={t.cap}
          placeholder={t.noCap}
          min={0}
          decimalScale={2}
          prefix="$"
          thousandSeparator=","
          w={180}
          value={shown}
          onChange={setTyped}
        />
        <Button type="submit" variant="default" loading={isLoading} disabled={typed === null}>
          {t.save}
        </Button>
      </form>
      {problem && (
        <Notice tone="bad" title={problem.message} alert>
          {problem.hint}
        </Notice>
      )}
    </section>
  );
}
