/** Beside a teacher that needs a key: a place for it, as long as there is none. */
import { useListKeysQuery } from "../../api";
import { strings } from "../../strings";
import { Notice } from "../ui/Notice";
import { KeyForm } from "./KeyForm";

const t = strings.providerKeys;

export function MissingKey({ provider }: { provider: string }) {
  const { data } = useListKeysQuery();
  const key = data?.items.find((found) => found.provider === provider);
  if (!key || key.present) return null;
  return (
    <Notice tone="info" title={t.missing(t.names[provider] ?? provider)}>
      <KeyForm provider={provider} />
    </Notice>
  );
}
