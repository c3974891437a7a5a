/** Choosing a model: those on this machine with their size, or any folder or Hugging Face id that is typed. */
import { Combobox, InputBase, Text, useCombobox } from "@mantine/core";
import { useState } from "react";

import type { LocalModel } from "../../api/types";
import { bytes, modelName, shortCount } from "../../lib/format";
import { strings } from "../../strings";
import classes from "./setup.module.css";

interface Props {
  label: string;
  value: string;
  models: LocalModel[];
  problem?: string;
  /** Why a model does not fit here; null where it does. */
  unfit: (model: LocalModel) => string | null;
  onChange: (model: string) => void;
}

const ORIGINS = ["bundled", "run", "cache"] as const;

export function ModelPicker({ label, value, models, problem, unfit, onChange }: Props) {
  const [search, setSearch] = useState("");
  const combobox = useCombobox({
    onDropdownClose: () => {
      combobox.resetSelectedOption();
      setSearch("");
    },
    onDropdownOpen: () => combobox.focusSearchInput(),
  });
  const chosen = models.find((model) => model.id === value);
  const wanted = search.trim();
  const matching = models.filter((model) => `${model.label} ${model.id}`.toLowerCase().includes(wanted.toLowerCase()));
  const isNew = wanted !== "" && !models.some((model) => model.id === wanted);

  return (
    <div>
      <Combobox
        store={combobox}
        onOptionSubmit={(model) => {
          onChange(model);
          combobox.closeDropdown();
        }}
      >
        <Combobox.Target targetType="button">
          <InputBase
            component="button"
            type="button"
            pointer
            size="sm"
            aria-label={`${label}: ${chosen?.label ?? (value || strings.setup.modelPlaceholder)}`}
            rightSection={<Combobox.Chevron />}
            rightSectionPointerEvents="none"
            error={problem}
            onClick={() => combobox.toggleDropdown()}
          >
            {value ? (
              <span className={classes.pickedModel} title={value}>
                {chosen?.label ?? modelName(value)}
              </span>
            ) : (
              <span className="faint">{strings.setup.modelPlaceholder}</span>
            )}
          </InputBase>
        </Combobox.Target>
        <Combobox.Dropdown>
          <Combobox.Search
            value={search}
            onChange={(event) => {
              setSearch(event.currentTarget.value);
              combobox.updateSelectedOptionIndex();
            }}
            placeholder={strings.setup.modelPlaceholder}
            aria-label={strings.setup.modelPlaceholder}
          />
          <Combobox.Options mah={280} style={{ overflowY: "auto" }} aria-label={label}>
            {ORIGINS.map((origin) => {
              const group = matching.filter((model) => model.origin === origin);
              return (
                group.length > 0 && (
                  <Combobox.Group key={origin} label={strings.setup.origin[origin]}>
                    {group.map((model) => {
                      const reason = unfit(model);
                      return (
                        <Combobox.Option key={model.id} value={model.id} active={model.id === value} disabled={reason !== null}>
                          <div className={classes.modelOption}>
                            <span>{model.label}</span>
                            <span className="faint num">{shortCount(model.num_parameters)}</span>
                          </div>
                          {reason && <span className={classes.reason}>{reason}</span>}
                        </Combobox.Option>
                      );
                    })}
                  </Combobox.Group>
                )
              );
            })}
            {isNew && (
              <Combobox.Option value={wanted}>
                <span className="mono">{wanted}</span>
              </Combobox.Option>
            )}
            {matching.length === 0 && !isNew && <Combobox.Empty>{strings.setup.modelHint}</Combobox.Empty>}
          </Combobox.Options>
        </Combobox.Dropdown>
      </Combobox>
      {chosen && (
        <Text className={`${classes.under} num`}>
          {[
            strings.setup.parameters(shortCount(chosen.num_parameters)),
            bytes(chosen.num_bytes),
            strings.setup.context(shortCount(chosen.context_length)),
            ...(chosen.has_chat_template ? [] : [strings.setup.noTemplate]),
          ].join(" · ")}
        </Text>
      )}
      {value && !chosen && !value.startsWith("/") && <Text className={classes.under}>{strings.setup.typed}</Text>}
    </div>
  );
}
