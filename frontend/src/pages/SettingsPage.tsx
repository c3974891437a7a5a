/** Appearance, this machine, and what a bug report needs. */
import { Anchor, Button, SegmentedControl, Switch, useMantineColorScheme } from "@mantine/core";
import { useId, useState } from "react";

import { useGetSystemQuery } from "../api";
import { diagnosticsText } from "../components/diagnostics";
import { readPreference, singleKeysEnabled, writePreference } from "../components/preferences";
import { CopyButton } from "../components/ui/CopyButton";
import { More } from "../components/ui/More";
import { Notice } from "../components/ui/Notice";
import { Fact, Facts } from "../components/ui/Section";
import { bytes, count } from "../lib/format";
import { strings } from "../strings";
import classes from "./SettingsPage.module.css";
import page from "./page.module.css";

export function SettingsPage() {
  const { data: machine } = useGetSystemQuery(undefined, { refetchOnMountOrArgChange: true });
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const hintId = useId();
  const [singleKeys, setSingleKeys] = useState(singleKeysEnabled);
  const [widths, setWidths] = useState(() => readPreference("columns"));
  return (
    <div className={page.page}>
      <div className={page.head}>
        <h1>{strings.settings.title}</h1>
      </div>
      <div className={classes.settings}>
        <section className={`${page.card} ${page.padded}`}>
          <h2>{strings.settings.look}</h2>
          <SegmentedControl
            fullWidth
            aria-label={strings.settings.scheme}
            value={colorScheme}
            onChange={(value) => setColorScheme(value === "light" || value === "dark" ? value : "auto")}
            data={[
              { value: "auto", label: strings.settings.auto },
              { value: "light", label: strings.settings.light },
              { value: "dark", label: strings.settings.dark },
            ]}
          />
          <Switch
            mt="md"
            label={strings.settings.singleKeys}
            aria-describedby={hintId}
            checked={singleKeys}
            onChange={(event) => {
              const on = event.currentTarget.checked;
              setSingleKeys(on);
              writePreference("single-keys", on ? null : "off");
            }}
          />
          <p id={hintId} className={classes.switchHint}>
            {strings.settings.singleKeysHint}
          </p>
          {widths !== null && (
            <Button
              mt="md"
              size="xs"
              variant="default"
              onClick={() => {
                writePreference("columns", null);
                setWidths(null);
              }}
            >
              {strings.settings.resetWidths}
            </Button>
          )}
        </section>
        {machine && (
          <section className={`${page.card} ${page.padded}`}>
            <h2>{strings.settings.machine}</h2>
            {!machine.can_train && <Notice tone="warn" title={strings.settings.cannotTrain} />}
            <Facts>
              <Fact name={strings.settings.device}>
                {machine.device.kind.toUpperCase()} · {machine.device.name}
              </Fact>
              <Fact name={strings.settings.cores}>{count(machine.num_cores)}</Fact>
              <Fact name={strings.settings.memory}>
                {strings.settings.free(bytes(machine.memory_available_bytes), bytes(machine.memory_total_bytes))}
              </Fact>
              <Fact name={strings.settings.disk}>
                {strings.settings.free(bytes(machine.disk_free_bytes), bytes(machine.disk_total_bytes))}
              </Fact>
              <Fact name={strings.settings.folder}>
                <span className="mono">{machine.data_dir}</span>
              </Fact>
              <Fact name={strings.settings.platform}>{machine.platform}</Fact>
            </Facts>
          </section>
        )}
        {machine && (
          <section className={`${page.card} ${page.padded}`}>
            <h2>{strings.settings.packages}</h2>
            <Facts>
              <Fact name={strings.settings.version}>{machine.version}</Fact>
              <Fact name={strings.settings.python}>{machine.python}</Fact>
              {Object.entries(machine.packages).map(([name, version]) => (
                <Fact key={name} name={<span className="mono">{name}</span>}>
                  {version ?? <span className="faint">{strings.settings.missing}</span>}
                </Fact>
              ))}
            </Facts>
          </section>
        )}
        <section className={`${page.card} ${page.padded}`}>
          <h2>{strings.settings.diagnostics}</h2>
          <p className="dim" style={{ marginBottom: 12 }}>
            {strings.settings.diagnosticsHint}
          </p>
          <CopyButton text={() => diagnosticsText({ machine })}>{strings.error.copy}</CopyButton>
          <More title={strings.settings.diagnosticsShow}>
            <pre className={classes.diagnostics} tabIndex={0} aria-label={strings.settings.diagnostics}>
              {diagnosticsText({ machine })}
            </pre>
          </More>
        </section>
        <section className={`${page.card} ${page.padded}`}>
          <h2>{strings.settings.about}</h2>
          {strings.settings.aboutText.map((text) => (
            <p key={text} className={classes.about}>
              {text}
            </p>
          ))}
          <Anchor href="/third-party-licenses.md" target="_blank" size="sm">
            {strings.settings.licences}
          </Anchor>
        </section>
      </div>
    </div>
  );
}
