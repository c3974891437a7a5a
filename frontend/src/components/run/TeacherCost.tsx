/** What the teacher will cost: the likely amount in its range, by what is asked, and the ways to know it better. */
import { Button } from "@mantine/core";
import { useState } from "react";

import { useLazyEstimateCostQuery } from "../../api";
import { openTerms, problemOf } from "../../api/errors";
import type { Estimate, RunConfig } from "../../api/types";
import { count, DASH, shortCount, usd } from "../../lib/format";
import { strings } from "../../strings";
import { diagnosticsText } from "../diagnostics";
import { More } from "../ui/More";
import { FailureNotice } from "../ui/Notice";
import { Section } from "../ui/Section";
import classes from "./BeforeStart.module.css";
import { Scenarios } from "./Scenarios";
import table from "./Scenarios.module.css";
import side from "./side.module.css";
import { TermsNotice } from "./TermsNotice";

const t = strings.before;

interface Props {
  estimate: Estimate;
  config: RunConfig;
  /** Called when the teacher has been asked, so that the estimate is made anew. */
  onAsked: () => void;
}

export function TeacherCost({ estimate, config, onAsked }: Props) {
  return (
    <Section
      title={t.cost}
      aside={
        <strong className={`${side.headline} num`} data-testid="cost" aria-live="polite">
          {headline(estimate)}
        </strong>
      }
    >
      {!estimate.teacher_is_paid && <p className={side.fine}>{t.freeHint}</p>}
      {estimate.teacher_is_paid && <Paid estimate={estimate} config={config} onAsked={onAsked} />}
      <More title={t.assumptions}>
        <ul className={classes.assumptions}>
          {estimate.assumptions.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
      </More>
      <More title={t.scenarios}>
        <Scenarios />
      </More>
    </Section>
  );
}

function headline(estimate: Estimate): string {
  if (!estimate.teacher_is_paid) return t.free;
  if (estimate.likely_usd === null) return t.tokens(shortCount(estimate.low_tokens), shortCount(estimate.high_tokens));
  return `${usd(estimate.likely_usd)} (${usd(estimate.low_usd)}–${usd(estimate.high_usd)})`;
}

function Paid({ estimate, config, onAsked }: Props) {
  return (
    <>
      {estimate.price_problem && <p className={side.fix}>{estimate.price_problem}</p>}
      {estimate.stages.length > 0 && <Stages estimate={estimate} />}
      {estimate.num_kept > 0 && <p className={side.fine}>{t.kept(estimate.num_kept)}</p>}
      {estimate.every_step_usd !== null && estimate.stages.every((stage) => stage.stage !== "scoring") && (
        <p className={side.fine}>{t.everyStep(usd(estimate.every_step_usd))}</p>
      )}
      {estimate.price_date !== null && <p className={side.fine}>{t.priceDate(estimate.price_date)}</p>}
      {config.teacher.type === "chat" && estimate.num_seen === 0 && !estimate.price_problem && (
        <AskThree config={config} onAsked={onAsked} />
      )}
    </>
  );
}

function Stages({ estimate }: { estimate: Estimate }) {
  return (
    <table className={table.scenarios}>
      <thead>
        <tr>
          <th scope="col">{t.asked}</th>
          <th scope="col">{t.requests}</th>
          <th scope="col">{t.likely}</th>
        </tr>
      </thead>
      <tbody>
        {estimate.stages.map((stage) => (
          <tr key={stage.words} title={t.stageTokens(count(stage.input_tokens), count(stage.output_tokens))}>
            <td>{stage.words}</td>
            <td>{count(stage.num_requests)}</td>
            <td>{stage.likely_usd === null ? DASH : usd(stage.likely_usd)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The run's first three questions, put now: paid once, kept, and not asked again by the run. */
function AskThree({ config, onAsked }: { config: RunConfig; onAsked: () => void }) {
  const [ask, { isFetching, error }] = useLazyEstimateCostQuery();
  const problem = isFetching ? null : problemOf(error);
  const terms = problem ? openTerms(problem) : null;
  const [declined, setDeclined] = useState<string | null>(null);
  const put = (acknowledge: string[]) => {
    setDeclined(null);
    void ask({ estimateRequest: { config, ask: true, acknowledge } })
      .unwrap()
      .then(onAsked, () => {});
  };
  if (terms && declined !== terms.code) {
    return (
      <TermsNotice
        terms={terms}
        isStarting={isFetching}
        acceptLabel={t.acceptAndAsk}
        onAccept={() => put([terms.code])}
        onDismiss={() => setDeclined(terms.code)}
      />
    );
  }
  return (
    <>
      {problem && !terms && <FailureNotice failure={problem} diagnostics={() => diagnosticsText({ failure: problem })} />}
      <Button
        size="xs"
        variant="default"
        my={4}
        loading={isFetching}
        onClick={() => put([])}
      >
        {t.askThree}
      </Button>
      <p className={side.fine}>{t.askThreeHint}</p>
    </>
  );
}
