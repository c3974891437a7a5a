/** Datasets: a list of them, a place to drop another, and what is in the chosen one. */
import { UnstyledButton } from "@mantine/core";
import { useSearchParams } from "react-router";

import { useListDatasetsQuery } from "../api";
import { DatasetDetail } from "../components/data/DatasetDetail";
import classes from "../components/data/data.module.css";
import { Pending } from "../components/Pending";
import { DropFile } from "../components/setup/DataPicker";
import { EmptyState } from "../components/ui/EmptyState";
import { IconData } from "../components/ui/icons";
import { bytes, count } from "../lib/format";
import { strings } from "../strings";
import page from "./page.module.css";

export function DatasetsPage() {
  const { data, error, refetch } = useListDatasetsQuery();
  const [params, setParams] = useSearchParams();
  if (!data) return <Pending error={error} onRetry={refetch} />;
  const { items } = data;
  const chosen = items.find((item) => item.id === params.get("id")) ?? items[0];
  return (
    <div className={page.page}>
      <div className={page.head}>
        <h1>{strings.data.title}</h1>
      </div>
      <p className={page.intro}>{strings.data.intro}</p>
      <div className={classes.split}>
        <div className={classes.list}>
          <div className={page.card}>
            {items.map((item) => (
              <UnstyledButton
                key={item.id}
                className={classes.pick}
                aria-current={item.id === chosen?.id}
                onClick={() => setParams({ id: item.id })}
              >
                <strong>{item.name}</strong>
                <span className={`${page.sub} num`}>
                  {count(item.num_samples)} {strings.setup.statPrompts} · {bytes(item.size_bytes)} ·{" "}
                  {item.origin === "bundled" ? strings.data.example : strings.data.yours}
                  {!item.ok && ` · ${strings.data.unusable}`}
                </span>
              </UnstyledButton>
            ))}
          </div>
          <DropFile onKept={(item) => setParams({ id: item.id })} />
        </div>
        {chosen ? (
          <DatasetDetail key={chosen.id} item={chosen} />
        ) : (
          <EmptyState title={strings.data.pick} icon={<IconData size={24} />} />
        )}
      </div>
    </div>
  );
}
