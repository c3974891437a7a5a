/** Which providers' keys are on this machine, and where each is kept. Never a value. */
import { Button, Modal } from "@mantine/core";
import { useState } from "react";

import { useDeleteKeyMutation, useListKeysQuery } from "../api";
import type { KeyPresence } from "../api/schema.gen";
import { strings } from "../strings";
import page from "./page.module.css";
import { KeyForm } from "../components/keys/KeyForm";
import { toldIfRefused } from "../components/refusals";
import { Confirm } from "../components/ui/Confirm";
import classes from "../components/keys/keys.module.css";

const t = strings.providerKeys;
const nameOf = (key: KeyPresence) => t.names[key.provider] ?? key.provider;

export function KeyTable() {
  const { data } = useListKeysQuery(undefined, { refetchOnMountOrArgChange: true });
  const [changing, setChanging] = useState<KeyPresence | null>(null);
  const [removing, setRemoving] = useState<KeyPresence | null>(null);
  if (!data) return null;
  return (
    <section className={`${page.card} ${page.scrollX}`} aria-label={t.title}>
      <table className={page.table}>
        <thead>
          <tr>
            <th scope="col">{t.provider}</th>
            <th scope="col">{t.kept}</th>
            <th scope="col" className={page.right}>
              {t.action}
            </th>
          </tr>
        </thead>
        <tbody>
          {data.items.map((key) => (
            <tr key={key.provider}>
              <td className={page.line}>{nameOf(key)}</td>
              <td className={key.source ? page.line : "faint"} title={key.source === "environment" ? t.fromEnvironment(key.variable) : undefined}>
                {key.source ? t.sources[key.source](key.variable) : t.none}
              </td>
              <td>
                <div className={classes.tools}>
                  <Button
                    size="compact-xs"
                    variant="default"
                    aria-label={key.present ? t.replaceFor(nameOf(key)) : t.addFor(nameOf(key))}
                    onClick={() => setChanging(key)}
                  >
                    {key.present ? t.replace : t.add}
                  </Button>
                  {key.present && key.source !== "environment" && (
                    <Button size="compact-xs" variant="default" aria-label={t.removeFor(nameOf(key))} onClick={() => setRemoving(key)}>
                      {t.remove}
                    </Button>
                  )}
                </div>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <Modal
        opened={changing !== null}
        onClose={() => setChanging(null)}
        title={changing && (changing.present ? t.replaceFor(nameOf(changing)) : t.addFor(nameOf(changing)))}
      >
        {changing && <KeyForm provider={changing.provider} onKept={() => setChanging(null)} />}
      </Modal>
      <RemoveKey of={removing} onClose={() => setRemoving(null)} />
    </section>
  );
}

/** Taking a key away, after a question that says what goes with it. */
function RemoveKey({ of, onClose }: { of: KeyPresence | null; onClose: () => void }) {
  const [remove, { isLoading }] = useDeleteKeyMutation();
  return (
    <Confirm
      opened={of !== null}
      title={t.removeTitle}
      keep={strings.runs.cancel}
      sure={t.removeSure}
      isBusy={isLoading}
      onClose={onClose}
      onSure={async () => {
        if (of) toldIfRefused(await remove({ provider: of.provider }));
        onClose();
      }}
    >
      {of && t.removeText(nameOf(of))}
    </Confirm>
  );
}
