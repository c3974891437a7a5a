/** Models on this machine, keys of providers, and what cloud teachers cost. */
import { Button, TextInput } from "@mantine/core";
import { useState } from "react";

import { useListTeachersQuery } from "../api";
import { KeyTable } from "./KeyTable";
import { Pending } from "../components/Pending";
import { Scenarios } from "../components/run/Scenarios";
import { EmptyState } from "../components/ui/EmptyState";
import { IconSearch, IconTeacher } from "../components/ui/icons";
import { bytes, DASH, day, shortCount } from "../lib/format";
import { wordFor } from "../lib/words";
import { strings } from "../strings";
import page from "./page.module.css";

const FIRST_ROWS = 40;

export function TeachersPage() {
  const { data, error, refetch } = useListTeachersQuery();
  const [filter, setFilter] = useState("");
  const [showAll, setShowAll] = useState(false);
  if (!data) return <Pending error={error} onRetry={refetch} />;
  const wanted = filter.trim().toLowerCase();
  const matching = data.catalogue.filter((model) => `${model.provider} ${model.name} ${model.id}`.toLowerCase().includes(wanted));
  const shown = showAll ? matching : matching.slice(0, FIRST_ROWS);
  const date = data.catalogue[0]?.price_date ?? "";
  return (
    <div className={page.page}>
      <div className={page.head}>
        <h1>{strings.teachers.title}</h1>
      </div>
      <h2 className={page.heading} style={{ marginTop: 0 }}>
        {strings.teachers.local}
      </h2>
      {data.local_models.length === 0 ? (
        <div className={page.card}>
          <EmptyState title={strings.teachers.localNone} hint={strings.teachers.localNoneHint} icon={<IconTeacher size={24} />} />
        </div>
      ) : (
        <>
          <p className="dim" style={{ marginBottom: 8 }}>
            {strings.teachers.localHint}
          </p>
          <div className={`${page.card} ${page.scrollX}`}>
            <table className={page.table}>
              <thead>
                <tr>
                  <th scope="col">{strings.teachers.model}</th>
                  <th scope="col">{strings.teachers.origin}</th>
                  <th scope="col" className={page.right}>
                    {strings.teachers.parameters}
                  </th>
                  <th scope="col" className={page.right}>
                    {strings.teachers.size}
                  </th>
                  <th scope="col" className={page.right}>
                    {strings.teachers.contextLength}
                  </th>
                  <th scope="col">{strings.teachers.template}</th>
                </tr>
              </thead>
              <tbody>
                {data.local_models.map((model) => (
                  <tr key={model.id}>
                    <td title={model.path} className={page.name}>{model.label}</td>
                    <td className={page.line}>{wordFor(strings.setup.origin, model.origin)}</td>
                    <td className={page.right}>{shortCount(model.num_parameters)}</td>
                    <td className={page.right}>{bytes(model.num_bytes)}</td>
                    <td className={page.right}>{shortCount(model.context_length)}</td>
                    <td>{model.has_chat_template ? strings.teachers.yes : strings.teachers.no}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
      <h2 className={page.heading}>{strings.providerKeys.title}</h2>
      <p className="dim" style={{ marginBottom: 8 }}>
        {strings.providerKeys.hint}
      </p>
      <KeyTable />
      <h2 className={page.heading}>{strings.teachers.scenarios}</h2>
      <div className={`${page.card} ${page.padded}`} style={{ maxWidth: 620 }}>
        <Scenarios />
      </div>
      {data.catalogue.length > 0 && (
        <>
          <div className={page.head} style={{ margin: "28px 0 4px" }}>
            <h2 style={{ fontSize: "0.9375rem", fontWeight: 620 }}>{strings.teachers.cloud}</h2>
            <div className={page.aside}>
              <TextInput
                size="sm"
                w={220}
                leftSection={<IconSearch size={14} />}
                placeholder={strings.teachers.filter}
                aria-label={strings.teachers.filter}
                value={filter}
                onChange={(event) => setFilter(event.currentTarget.value)}
              />
            </div>
          </div>
          <p className="dim" style={{ marginBottom: 8 }}>
            {strings.teachers.cloudHint(day(date))}
          </p>
          <div className={`${page.card} ${page.scrollX}`}>
            <table className={page.table}>
              <thead>
                <tr>
                  <th scope="col">{strings.teachers.model}</th>
                  <th scope="col">{strings.teachers.provider}</th>
                  <th scope="col" className={page.right}>
                    {strings.teachers.input}
                  </th>
                  <th scope="col" className={page.right}>
                    {strings.teachers.cached}
                  </th>
                  <th scope="col" className={page.right}>
                    {strings.teachers.output}
                  </th>
                  <th scope="col" className={page.right}>
                    {strings.teachers.contextLength}
                  </th>
                  <th scope="col">{strings.teachers.retires}</th>
                </tr>
              </thead>
              <tbody>
                {shown.map((model) => (
                  <tr key={model.id}>
                    <td>
                      {model.name}
                      <span className={`${page.sub} mono`}>{model.id}</span>
                    </td>
                    <td>{model.provider}</td>
                    <td className={page.right}>{perMillion(model.input_usd_per_million)}</td>
                    <td className={page.right}>{perMillion(model.cached_input_usd_per_million)}</td>
                    <td className={page.right}>{perMillion(model.output_usd_per_million)}</td>
                    <td className={page.right}>{shortCount(model.context_tokens)}</td>
                    <td className={page.line}>{day(model.retires)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <p className="faint num" style={{ marginTop: 8 }}>
            {strings.teachers.shown(shown.length, matching.length)}{" "}
            {shown.length < matching.length && (
              <Button size="compact-xs" variant="subtle" onClick={() => setShowAll(true)}>
                {strings.teachers.showAll}
              </Button>
            )}
          </p>
        </>
      )}
    </div>
  );
}

/** Prices need all their digits: $0.075 is not $0.08. */
function perMillion(usd: number | null): string {
  return usd === null ? DASH : `$${usd.toFixed(Math.round(usd * 100) === usd * 100 ? 2 : 3)}`;
}
