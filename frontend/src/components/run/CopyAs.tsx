/** The configuration in other forms: YAML, a command line, a request. */
import { Button, Menu } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";

import { useCheckConfigQuery, useGetSystemQuery } from "../../api";
import { asCommandLine, asCurl } from "../../lib/shell";
import { strings } from "../../strings";
import type { Draft } from "../setup/useDraft";
import { IconCheck, IconCopy } from "../ui/icons";
import side from "./side.module.css";

export function CopyAs({ draft }: { draft: Draft }) {
  const { currentData: check } = useCheckConfigQuery({ uncheckedConfig: { config: draft.tree } });
  const { data: machine } = useGetSystemQuery();
  const clipboard = useClipboard({ timeout: 2000 });
  if (!check?.ok || !machine) return null;
  const forms = {
    yaml: () => check.yaml,
    cli: () => asCommandLine(check.yaml),
    curl: () => asCurl(window.location.origin, machine.data_dir, crypto.randomUUID(), check.config),
  };
  return (
    <Menu position="bottom-end" width={260} withinPortal>
      <Menu.Target>
        <Button
          variant="subtle"
          size="compact-xs"
          color="gray"
          leftSection={clipboard.copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
        >
          <span aria-live="polite">{clipboard.copied ? strings.before.copied : strings.before.copyAs}</span>
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {(["yaml", "cli", "curl"] as const).map((form) => (
          <Menu.Item key={form} onClick={() => clipboard.copy(forms[form]())}>
            {strings.before.copyForms[form][0]}
            <p className={side.fine}>{strings.before.copyForms[form][1]}</p>
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
