/** A run's money while it is spent: of its cap, how much is paid, held, perhaps paid, and what kept answers saved. */
import { Progress } from "@mantine/core";

import type { MoneySpent } from "../../api/types";
import { count, nanoUsd, plural } from "../../lib/format";
import { strings } from "../../strings";
import { Fact, Facts, Section } from "../ui/Section";

const t = strings.now.money;

export function MoneyMeter({ money }: { money: MoneySpent }) {
  const shown = (nano: number) => (money.unit === "tokens" ? strings.verdict.tokens(count(nano)) : nanoUsd(nano));
  const { cap_nano_usd: cap, spent_nano_usd: spent, held_nano_usd: held, possibly_paid_nano_usd: unsure } = money;
  const share = (nano: number) => (cap ? Math.min(100, (100 * nano) / cap) : 0);
  return (
    <Section
      title={t.title}
      aside={
        <span className="num" data-testid="spent">
          {cap === null ? shown(spent) : t.ofCap(shown(spent), shown(cap))}
        </span>
      }
    >
      {cap !== null && (
        <Progress.Root size={8} aria-hidden mb={8}>
          <Progress.Section value={share(spent)} color="var(--chart-1)" withAria={false} />
          <Progress.Section value={share(held)} color="var(--chart-5)" withAria={false} />
        </Progress.Root>
      )}
      <Facts>
        <Fact name={t.spent} help={t.spentHelp}>
          {shown(spent)}
        </Fact>
        {held > unsure && (
          <Fact name={t.held} help={t.heldHelp}>
            {shown(held - unsure)}
          </Fact>
        )}
        {unsure > 0 && (
          <Fact name={t.unsure} help={t.unsureHelp}>
            {shown(unsure)}
          </Fact>
        )}
        {money.projected_nano_usd !== null && (
          <Fact name={t.projected} help={t.projectedHelp}>
            <span data-testid="projected">{shown(money.projected_nano_usd)}</span>
          </Fact>
        )}
        {cap !== null && <Fact name={t.left}>{shown(Math.max(0, cap - spent - held))}</Fact>}
        {money.saved_by_cache_nano_usd > 0 && (
          <Fact name={t.saved} help={t.savedHelp}>
            {shown(money.saved_by_cache_nano_usd)}
          </Fact>
        )}
        <Fact name={t.calls}>{plural(money.num_calls, t.call)}</Fact>
      </Facts>
    </Section>
  );
}
