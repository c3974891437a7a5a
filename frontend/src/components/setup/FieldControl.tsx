/** One setting: its control, its help, its bounds, and the way back to its default. Drawn from the schema. */
import { ActionIcon, NumberInput, Select, Switch, TextInput, Tooltip } from "@mantine/core";
import { type ReactNode, useState } from "react";

import type { FieldSpec, Json } from "../../lib/configForm";
import { learningRate } from "../../lib/format";
import { strings } from "../../strings";
import { HelpTip } from "../ui/HelpTip";
import { IconResume } from "../ui/icons";
import classes from "./setup.module.css";

interface Props {
  field: FieldSpec;
  label?: string;
  value: Json | undefined;
  problem?: string;
  /** Why an option does not fit; null where it does. */
  unfit?: (option: string) => string | null;
  onChange: (value: Json) => void;
}

export function FieldControl({ field, label, value, problem, unfit, onChange }: Props) {
  const title = label ?? field.title;
  const isEdited =
    field.defaultValue !== undefined &&
    value !== undefined &&
    JSON.stringify(value) !== JSON.stringify(field.defaultValue);
  const tools = (
    <>
      {field.help && <HelpTip label={title} text={helpOf(field)} />}
      {isEdited && (
        <Tooltip label={strings.setup.resetField(title)}>
          <ActionIcon
            variant="subtle"
            color="gray"
            size="sm"
            aria-label={strings.setup.resetField(title)}
            onClick={() => onChange(field.defaultValue ?? null)}
          >
            <IconResume size={14} />
          </ActionIcon>
        </Tooltip>
      )}
    </>
  );
  if (field.kind === "boolean") {
    return (
      <div className={classes.switchRow}>
        <Switch size="sm" label={title} checked={value === true} onChange={(event) => onChange(event.currentTarget.checked)} />
        {tools}
      </div>
    );
  }
  return (
    <div className={classes.field}>
      <div className={classes.fieldHead}>
        <span className={classes.fieldTitle} data-edited={isEdited || undefined}>
          {title}
        </span>
        {tools}
      </div>
      <Control field={field} title={title} value={value} problem={problem} unfit={unfit} onChange={onChange} />
    </div>
  );
}

function Control({ field, title, value, problem, unfit, onChange }: Props & { title: string }) {
  const shared = { size: "sm", "aria-label": title, error: problem } as const;
  switch (field.kind) {
    case "choice":
      return (
        <Select
          {...shared}
          data={field.options.map((option) => ({ value: option, label: option, disabled: Boolean(unfit?.(option)) }))}
          renderOption={({ option }) => <Option label={option.label} reason={unfit?.(option.value)} />}
          value={typeof value === "string" ? value : null}
          allowDeselect={false}
          onChange={(chosen) => chosen !== null && onChange(chosen)}
          comboboxProps={{ withinPortal: true }}
        />
      );
    case "integer":
      return (
        <NumberInput
          {...shared}
          className="num"
          allowDecimal={false}
          thousandSeparator=","
          placeholder={field.nullable ? strings.setup.auto : undefined}
          value={typeof value === "number" ? value : ""}
          min={field.minimum ?? undefined}
          max={field.maximum ?? undefined}
          clampBehavior="blur"
          onChange={(typed) => {
            if (typeof typed === "number") onChange(typed);
            else if (typed === "" && field.nullable) onChange(null);
          }}
        />
      );
    case "number":
    case "numbers":
      return <DecimalInput field={field} value={value} shared={shared} onChange={onChange} />;
    default:
      return (
        <TextInput
          {...shared}
          placeholder={field.nullable ? strings.setup.auto : undefined}
          value={typeof value === "string" ? value : ""}
          onChange={(event) => {
            const typed = event.currentTarget.value;
            onChange(typed === "" && field.nullable ? null : typed);
          }}
        />
      );
  }
}

function Option({ label, reason }: { label: string; reason: string | null | undefined }) {
  return (
    <div>
      {label}
      {reason && <span className={classes.reason}>{reason}</span>}
    </div>
  );
}

/** Decimals as people type them: 1e-4 and 0.0001 are the same, and an unfinished "1e-" is left alone. */
function DecimalInput({
  field,
  value,
  shared,
  onChange,
}: {
  field: FieldSpec;
  value: Json | undefined;
  shared: { size: "sm"; "aria-label": string; error: ReactNode };
  onChange: (value: Json) => void;
}) {
  const shown = asText(value);
  const [typed, setTyped] = useState(shown);
  const isMany = field.kind === "numbers";
  const parsed = isMany ? parseMany(typed) : parseOne(typed, field.nullable);
  const [known, setKnown] = useState(shown);
  if (shown !== known) {
    setKnown(shown);
    // Changed from outside (a preset, a reset): what was typed is no longer what is meant.
    if (asText(parsed) !== shown) setTyped(shown);
  }
  return (
    <TextInput
      {...shared}
      className="num"
      inputMode="decimal"
      placeholder={field.nullable ? strings.setup.auto : undefined}
      value={typed}
      error={shared.error ?? (parsed === undefined ? boundsText(field) : undefined)}
      onChange={(event) => {
        const text = event.currentTarget.value;
        setTyped(text);
        const next = isMany ? parseMany(text) : parseOne(text, field.nullable);
        if (next !== undefined) onChange(next);
      }}
      onBlur={() => setTyped(shown)}
    />
  );
}

function asText(value: Json | undefined): string {
  if (Array.isArray(value)) return value.map((item) => asText(item)).join(", ");
  if (typeof value !== "number") return "";
  return value !== 0 && Math.abs(value) < 0.01 ? learningRate(value) : String(value);
}

function parseOne(text: string, nullable: boolean): Json | undefined {
  if (text.trim() === "") return nullable ? null : undefined;
  const number = Number(text.trim().replace(",", "."));
  return Number.isFinite(number) ? number : undefined;
}

function parseMany(text: string): Json | undefined {
  const parts = text.split(/[\s,;]+/).filter(Boolean);
  const numbers = parts.map(Number);
  return parts.length > 0 && numbers.every(Number.isFinite) ? numbers : undefined;
}

/** The server's help says None where the form has an empty field. */
function helpOf(field: FieldSpec): string {
  const text = field.help.replaceAll(/\bNone\b/g, strings.setup.empty).replaceAll("`", "");
  const bounds = boundsText(field);
  return bounds ? `${text} (${bounds})` : text;
}

function boundsText(field: FieldSpec): string {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = field;
  const low = minimum === null ? "" : `${exclusiveMinimum ? "more than" : "at least"} ${minimum}`;
  const high =
    maximum === null || maximum >= 2 ** 31 - 1 ? "" : `${exclusiveMaximum ? "less than" : "at most"} ${maximum}`;
  return [low, high].filter(Boolean).join(", ");
}
