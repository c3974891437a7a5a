/** How long and how the student learns: presets, the few settings that matter most, and the rest on demand. */
import { Button, Collapse, Slider, Text, TextInput, UnstyledButton } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { lazy, Suspense, useId, useState } from "react";

import type { Machine } from "../../api/types";
import { editedPaths, type FieldSpec, type Json, type Tree } from "../../lib/configForm";
import { strings } from "../../strings";
import { HelpTip } from "../ui/HelpTip";
import { IconChevron, IconSearch } from "../ui/icons";
import { FieldControl } from "./FieldControl";
import { optionUnfit } from "./fits";
import classes from "./setup.module.css";
import type { Draft } from "./useDraft";

const YamlDialog = lazy(async () => ({ default: (await import("./YamlDialog")).YamlDialog }));

/** Settings with a place of their own; the others are under "Advanced". */
const MAIN = [
  "on_policy_fraction",
  "max_steps",
  "batch_size",
  "learning_rate",
  "objective.beta",
  "sampling.max_completion_tokens",
  "baseline.enabled",
];
const ELSEWHERE = [
  "teacher.type",
  "teacher.model",
  "teacher.base_url",
  "teacher.dialect",
  "teacher.tokenizer",
  "student.model", "data.path", "budget_usd"];

export function Recipe({ draft, machine }: { draft: Draft; machine: Machine | undefined }) {
  const [pasting, setPasting] = useState(false);
  const field = (path: string) => draft.fields.find((found) => found.path === path);
  const control = (path: string, label: string) => {
    const found = field(path);
    return (
      found && (
        <FieldControl
          field={found}
          label={label}
          value={draft.get(path)}
          problem={draft.problems[path]}
          onChange={(value) => draft.set(path, value)}
        />
      )
    );
  };
  return (
    <div className={classes.stack}>
      <Presets draft={draft} />
      <Share
        field={field("on_policy_fraction")}
        label={strings.setup.lambda}
        ends={[strings.setup.lambdaLow, strings.setup.lambdaHigh]}
        value={draft.get("on_policy_fraction")}
        onChange={(value) => draft.set("on_policy_fraction", value)}
      />
      <div className={classes.pair}>
        {control("max_steps", strings.setup.steps)}
        {control("batch_size", strings.setup.batch)}
        {control("learning_rate", strings.setup.rate)}
        {control("sampling.max_completion_tokens", strings.setup.tokens)}
      </div>
      <Share
        field={field("objective.beta")}
        label={strings.setup.beta}
        ends={[strings.setup.betaLow, strings.setup.betaHigh]}
        value={draft.get("objective.beta")}
        onChange={(value) => draft.set("objective.beta", value)}
      />
      {control("baseline.enabled", strings.setup.baseline)}
      <Advanced draft={draft} machine={machine} />
      <Button variant="default" size="xs" onClick={() => setPasting(true)}>
        {strings.setup.yamlLoad}
      </Button>
      {pasting && (
        <Suspense>
          <YamlDialog draft={draft} opened onClose={() => setPasting(false)} />
        </Suspense>
      )}
    </div>
  );
}

function Presets({ draft }: { draft: Draft }) {
  const { presets } = draft.schema;
  const chosen = presets.find((preset) => editedPaths(draft.tree, preset.changes as Tree).length === 0);
  return (
    <div>
    <fieldset className={classes.presets} aria-label={strings.setup.presets}>
      {presets.map((preset) => {
        const changes = preset.changes as Tree;
        return (
          <UnstyledButton
            key={preset.id}
            className={classes.preset}
            aria-pressed={preset === chosen}
            title={preset.description}
            onClick={() => draft.merge(changes)}
          >
            {preset.title}
          </UnstyledButton>
        );
      })}
    </fieldset>
    <p className={classes.under}>{chosen?.description ?? strings.setup.ownRecipe}</p>
    </div>
  );
}

interface ShareProps {
  field: FieldSpec | undefined;
  label: string;
  ends: [string, string];
  value: Json | undefined;
  onChange: (value: number) => void;
}

/** A setting between two ends, from 0 to 1. */
function Share({ field, label, ends, value, onChange }: ShareProps) {
  const id = useId();
  if (!field) return null;
  const number = typeof value === "number" ? value : 0;
  return (
    <div className={classes.field}>
      <div className={classes.fieldHead}>
        <span id={id} className={classes.fieldTitle} data-edited={value !== field.defaultValue || undefined}>
          {label}
        </span>
        <HelpTip label={label} text={field.help} />
        <span className={`${classes.shareValue} num`}>{number.toFixed(2)}</span>
      </div>
      <Slider
        size="sm"
        min={0}
        max={1}
        step={0.05}
        label={null}
        value={number}
        thumbLabel={label}
        onChange={(next) => onChange(Number(next.toFixed(2)))}
      />
      <div className={classes.ends}>
        <span>{ends[0]}</span>
        <span>{ends[1]}</span>
      </div>
    </div>
  );
}

function Advanced({ draft, machine }: { draft: Draft; machine: Machine | undefined }) {
  const teacherKind = String(draft.get("teacher.type") ?? "");
  const [opened, { toggle }] = useDisclosure(false);
  const [filter, setFilter] = useState("");
  const id = useId();
  const hidden = new Set([...MAIN, ...ELSEWHERE]);
  const rest = draft.fields.filter((field) => !hidden.has(field.path) && field.path !== "name");
  const edited = draft.edited.filter((path) => !hidden.has(path) && path !== "name");
  const wanted = filter.toLowerCase();
  const shown = rest.filter((field) => `${field.path} ${field.help}`.toLowerCase().includes(wanted));
  const groups = Map.groupBy(shown, (field) => (field.path.includes(".") ? (field.path.split(".")[0] ?? "") : ""));
  return (
    <div>
      <UnstyledButton className={classes.advanced} aria-expanded={opened} aria-controls={id} onClick={toggle}>
        <span className={classes.chevron} data-open={opened || undefined}>
          <IconChevron />
        </span>
        {strings.setup.advanced}
        <Text span className="faint" fz="xs">
          {strings.setup.edited(edited.length)}
        </Text>
      </UnstyledButton>
      <Collapse expanded={opened} id={id}>
        <div className={classes.advancedBody}>
          <TextInput
            size="sm"
            leftSection={<IconSearch size={14} />}
            placeholder={strings.setup.filter}
            aria-label={strings.setup.filter}
            value={filter}
            onChange={(event) => setFilter(event.currentTarget.value)}
          />
          {[...groups].map(([group, fields]) => (
            <fieldset key={group} className={classes.group}>
              <legend>{strings.setup.groups[group] ?? group}</legend>
              {fields.map((field) => (
                <FieldControl
                  key={field.path}
                  field={field}
                  value={draft.get(field.path)}
                  problem={draft.problems[field.path]}
                  unfit={(option) => optionUnfit(field.path, option, teacherKind, draft.schema, machine)}
                  onChange={(value) => draft.set(field.path, value)}
                />
              ))}
            </fieldset>
          ))}
          {draft.edited.length > 0 && (
            <Button
              variant="default"
              size="xs"
              onClick={() => draft.merge(draft.schema.defaults as Tree)}
            >
              {strings.setup.resetAll}
            </Button>
          )}
        </div>
      </Collapse>
    </div>
  );
}
