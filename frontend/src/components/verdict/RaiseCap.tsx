/** A run that has paused at its spend cap: what it spent, a higher cap, and on it goes. Nothing paid is asked again. */
import { Button, NumberInput } from "@mantine/core";
import { useState } from "react";

import { useGetBudgetQuery, useResumeRunMutation } from "../../api";
import { problemOf } from "../../api/errors";
import type { RunBudget } from "../../api/types";
import { count } from "../../lib/format";
import { strings } from "../../strings";
import { diagnosticsText } from "../diagnostics";
import { IconResume } from "../ui/icons";
import { FailureNotice } from "../ui/Notice";
import side from "../run/side.module.css";

export function RaiseCap({ runId }: { runId: string }) {
  const budget = useGetBudgetQuery({ runId }, { refetchOnMountOrArgChange: true });
  const [resume, { isLoading, error }] = useResumeRunMutation();
  const [typed, setTyped] = useState<number | null>(null);
  const problem = problemOf(error ?? budget.error);
  if (!budget.data) return problem && <FailureNotice failure={problem} diagnostics={() => diagnosticsText({ failure: problem })} />;
  const { cap, spent, held, unit } = budget.data;
  const wanted = typed ?? cap * 2;
  const least = Math.max(cap, spent + held);
  return (
    <>
      {problem && <FailureNotice failure={problem} diagnostics={() => diagnosticsText({ failure: problem })} />}
      <p className={`${side.startHint} num`}>
        {strings.verdict.capReached(amount(spent, unit), held > 0 ? amount(held, unit) : "", amount(cap, unit))}
      </p>
      <NumberInput
        label={unit === "usd" ? strings.verdict.newCapUsd : strings.verdict.newCapTokens}
        value={wanted}
        min={least}
        step={unit === "usd" ? 1 : 10_000}
        decimalScale={unit === "usd" ? 4 : 0}
        thousandSeparator={unit === "usd" ? undefined : ","}
        onChange={(value) => setTyped(typeof value === "number" ? value : null)}
      />
      <Button
        fullWidth
        size="md"
        mt="xs"
        leftSection={<IconResume size={16} />}
        loading={isLoading}
        disabled={wanted <= least}
        onClick={() => void resume({ runId, resumeRequest: { cap: wanted } })}
      >
        {strings.verdict.raiseAndResume}
      </Button>
    </>
  );
}

function amount(value: number, unit: RunBudget["unit"]): string {
  return unit === "usd" ? `$${value.toFixed(4)}` : strings.verdict.tokens(count(value));
}
