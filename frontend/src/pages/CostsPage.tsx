/** What paid teachers have cost by run, teacher and stage; the same figures as `opd costs`. */
import { Button, Select } from "@mantine/core";
import { useState } from "react";
import { Link } from "react-router";

import { useListCostsQuery, useListRunsQuery } from "../api";
import type { Cost } from "../api/schema.gen";
import { MonthBudget } from "../components/costs/MonthBudget";
import { Pending } from "../components/Pending";
import { EmptyState } from "../components/ui/EmptyState";
import { IconCoins, IconDownload } from "../components/ui/icons";
import { saveFile } from "../components/ui/saveFile";
import { count, month as monthName, nanoUsd, nanoUsdColumn } from "../lib/format";
import { strings } from "../strings";
import classes from "./CostsPage.module.css";
import page from "./page.module.css";

const t = strings.costs;
const ALL = "all";
const NUM_MONTHS = 12;

export function CostsPage() {
  const [month, setMonth] = useState(ALL);
  const [months] = useState(() => lastMonths(new Date()));
  const wanted = month === ALL ? {} : { month };
  const { data, error, refetch } = useListCostsQuery(wanted, { refetchOnMountOrArgChange: true });
  if (!data) return <Pending error={error} onRetry={refetch} />;
  const address = `/api/costs/csv${month === ALL ? "" : `?month=${month}`}`;
  return (
    <div className={page.page}>
      <div className={page.head}>
        <h1>{t.title}</h1>
        <div className={page.aside}>
          <Select
            size="sm"
            w={170}
            aria-label={t.month}
            allowDeselect={false}
            value={month}
            onChange={(value) => setMonth(value ?? ALL)}
            data={[{ value: ALL, label: t.all }, ...months.map((value) => ({ value, label: monthName(value) }))]}
          />
          <Button component="a" href={address} download="costs.csv" variant="default" size="sm" leftSection={<IconDownload size={14} />}>
            {t.csv}
          </Button>
          <Button
            variant="default"
            size="sm"
            leftSection={<IconDownload size={14} />}
            onClick={() => saveFile("costs.json", new Blob([JSON.stringify(data, null, 2)], { type: "application/json" }))}
          >
            {t.json}
          </Button>
        </div>
      </div>
      <p className={page.intro}>{t.intro}</p>
      {data.rows.length === 0 ? (
        <div className={page.card}>
          <EmptyState title={t.none} hint={t.noneHint} icon={<IconCoins size={24} />} />
        </div>
      ) : (
        <>
          <Totals rows={data.rows} />
          <Table rows={data.rows} />
        </>
      )}
      <h2 className={page.heading}>{t.budget}</h2>
      <MonthBudget />
    </div>
  );
}

function Totals({ rows }: { rows: Cost[] }) {
  const facts: [string, number, string?][] = [
    [t.spent, sum(rows, "spent_nano_usd")],
    [t.uncertain, sum(rows, "held_nano_usd"), t.uncertainHint],
    [t.saved, sum(rows, "saved_nano_usd"), t.savedHint],
  ];
  return (
    <dl className={`${classes.totals} num`}>
      {facts.map(([name, nano, hint]) => (
        <div key={name}>
          <dt title={hint}>{name}</dt>
          <dd>{nanoUsd(nano)}</dd>
        </div>
      ))}
    </dl>
  );
}

function Table({ rows }: { rows: Cost[] }) {
  const { data } = useListRunsQuery({});
  const names = new Map(data?.items.map((run) => [run.run_id, run.name]));
  const column = (key: keyof Cost) => nanoUsdColumn(rows.map((row) => Number(row[key])));
  const numbers: [string, keyof Cost, (value: number) => string][] = [
    [t.calls, "num_calls", count],
    [t.hits, "num_hits", count],
    [t.input, "input_tokens", count],
    [t.output, "output_tokens", count],
    [t.spent, "spent_nano_usd", column("spent_nano_usd")],
    [t.uncertain, "held_nano_usd", column("held_nano_usd")],
    [t.saved, "saved_nano_usd", column("saved_nano_usd")],
  ];
  return (
    <section className={`${page.card} ${page.scrollX}`} aria-label={t.title}>
      <table className={`${page.table} ${classes.table}`}>
        <thead>
          <tr>
            <th scope="col">{t.run}</th>
            <th scope="col">{t.teacher}</th>
            <th scope="col">{t.stage}</th>
            {numbers.map(([name]) => (
              <th key={name} scope="col" className={page.right}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={`${row.run_id}/${row.teacher}/${row.stage}`}>
              <td>{rows[index - 1]?.run_id === row.run_id ? "" : <RunLink id={row.run_id} name={names.get(row.run_id)} />}</td>
              <td className="mono">{row.teacher}</td>
              <td>{t.stages[row.stage] ?? row.stage}</td>
              {numbers.map(([name, key, shown]) => (
                <td key={name} className={page.right}>
                  {shown(Number(row[key]))}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row" colSpan={3}>
              {t.total}
            </th>
            {numbers.map(([name, key, shown]) => (
              <td key={name} className={page.right}>
                {shown(sum(rows, key))}
              </td>
            ))}
          </tr>
        </tfoot>
      </table>
    </section>
  );
}

/** A run that was deleted keeps its costs: they were paid. */
function RunLink({ id, name }: { id: string; name: string | undefined }) {
  return name === undefined ? <span className="mono">{id}</span> : <Link to={`/runs/${id}`} className={page.nameLink}>{name || id}</Link>;
}

function sum(rows: Cost[], key: keyof Cost): number {
  return rows.reduce((total, row) => total + Number(row[key]), 0);
}

/** This month and those before it, newest first, in UTC as the ledger counts. */
function lastMonths(now: Date): string[] {
  return Array.from({ length: NUM_MONTHS }, (_, back) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - back, 1)).toISOString().slice(0, 7),
  );
}
