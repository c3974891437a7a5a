/** Beside a teacher that needs a key: a place for it, as long as there is none. */
import { useListKeysQuery } from "../../api";
import { strings } from "../../strings";
import { KeyForm } from "./KeyForm";
import classes from "./keys.module.css";

const t = strings.providerKeys;

export function MissingKey({ provider }: { provider: string }) {
  const { data } = useListKeysQuery();
  const key = data?.items.find((found) => found.provider === provider);
  if (!key || key.present) return null;
  return (
    <div className={classes.missing}>
      <p>{t.missing(t.names[provider] ?? provider)}</p>
      <KeyForm provider={provider} />
    </div>
  );
}
