/** The left column of a run that exists: the configuration it was started with, to read and to start again from. */
import { Button, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useId } from "react";
import { useNavigate } from "react-router";

import { useGetConfigSchemaQuery, useGetRunQuery, useListTeachersQuery } from "../../api";
import type { RunConfig } from "../../api/types";
import { editedPaths, type Json, leaves, type Tree } from "../../lib/configForm";
import { count, learningRate, modelName, percent } from "../../lib/format";
import { strings } from "../../strings";
import { CopyButton } from "../ui/CopyButton";
import { IconChevron, IconLock, IconPlus } from "../ui/icons";
import { Fact, Facts, Section } from "../ui/Section";
import classes from "./setup.module.css";
import { keepAsDraft } from "./draftStorage";

export function StoredConfig({ runId }: { runId: string }) {
  const { currentData: run } = useGetRunQuery({ runId });
  const navigate = useNavigate();
  if (!run) return null;
  const { config } = run;
  return (
    <>
      <p className={classes.locked}>
        <IconLock size={14} />
        {strings.setup.locked}
      </p>
      <Section step={1} title={strings.setup.teacher} aside={strings.setup.kinds[config.teacher.type]}>
        <Model model={config.teacher.model} />
      </Section>
      <Section step={2} title={strings.setup.student}>
        <Model model={config.student.model} />
      </Section>
      <Section step={3} title={strings.setup.data}>
        <Model model={config.data.path} />
        {config.data.test_path ? (
          <p className={classes.under} title={config.data.test_path}>
            {strings.setup.groups.evaluation}: {modelName(config.data.test_path)}
          </p>
        ) : (
          <p className={classes.under}>{percent(config.data.test_fraction, 0)} held out for the verdict</p>
        )}
      </Section>
      <Section step={4} title={strings.setup.recipe}>
        <Facts>
          <Fact name={strings.setup.lambda}>{config.on_policy_fraction.toFixed(2)}</Fact>
          <Fact name={strings.setup.steps}>{count(config.max_steps)}</Fact>
          <Fact name={strings.setup.batch}>{count(config.batch_size)}</Fact>
          <Fact name={strings.setup.rate}>
            {config.learning_rate === null ? strings.setup.auto : learningRate(config.learning_rate)}
          </Fact>
          {"beta" in config.objective && <Fact name={strings.setup.beta}>{config.objective.beta.toFixed(2)}</Fact>}
          {"top_k" in config.objective && <Fact name={strings.setup.topK}>{count(config.objective.top_k)}</Fact>}
          <Fact name={strings.setup.tokens}>{count(config.sampling.max_completion_tokens)}</Fact>
          <Fact name={strings.setup.groups.baseline}>{config.baseline.enabled ? "on" : "off"}</Fact>
        </Facts>
        <AllSettings config={config} />
        <div className={classes.actions}>
          <Button
            size="xs"
            variant="default"
            leftSection={<IconPlus size={14} />}
            onClick={() => {
              keepAsDraft(config);
              void navigate("/opd");
            }}
          >
            {strings.setup.again}
          </Button>
          <CopyButton text={run.config_yaml}>{strings.detail.copyYaml}</CopyButton>
        </div>
      </Section>
    </>
  );
}

function Model({ model }: { model: string }) {
  const { data } = useListTeachersQuery();
  const label = data?.local_models.find((known) => known.id === model)?.label;
  return (
    <p className={classes.stored} title={model}>
      {label ?? modelName(model)}
    </p>
  );
}

function AllSettings({ config }: { config: RunConfig }) {
  const [opened, { toggle }] = useDisclosure(false);
  const { data: schema } = useGetConfigSchemaQuery();
  const id = useId();
  const tree = config as unknown as Tree;
  const edited = new Set(schema ? editedPaths(tree, schema.defaults as Tree) : []);
  return (
    <div className={classes.allSettings}>
      <UnstyledButton className={classes.advanced} aria-expanded={opened} aria-controls={id} onClick={toggle}>
        <span className={classes.chevron} data-open={opened || undefined}>
          <IconChevron />
        </span>
        {strings.setup.advanced}
        <span className={`${classes.editedCount} faint`}>{strings.setup.edited(edited.size)}</span>
      </UnstyledButton>
      {opened && (
        <dl id={id} className={classes.settingsList}>
          {leaves(tree).map(([path, value]) => (
            <div key={path} data-edited={edited.has(path) || undefined}>
              <dt className="mono">{path}</dt>
              <dd className="mono num">{show(value)}</dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}

function show(value: Json): string {
  if (value === null || value === "") return "–";
  if (Array.isArray(value)) return value.map(show).join(", ");
  if (typeof value === "number" && value !== 0 && Math.abs(value) < 0.001) return learningRate(value);
  return String(value);
}
