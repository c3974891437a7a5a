/** A configuration as something to paste into a terminal. In: YAML or JSON, addresses. Out: text for a POSIX shell. */

/** As one word, whatever is in it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Writes the configuration to a file and trains from it, without a studio. */
export function asCommandLine(yaml: string): string {
  return `cat > opd-run.yaml <<'OPD_YAML'\n${yaml.trimEnd()}\nOPD_YAML\nopd train opd-run.yaml\n`;
}

/** Starts the run in the studio. The token stays in its file: what is copied holds none. */
export function asCurl(origin: string, dataDir: string, requestId: string, config: unknown): string {
  const body = JSON.stringify({ request_id: requestId, config });
  return [
    `curl ${quoted(`${origin}/api/opd/start`)}`,
    `-H "authorization: Bearer $(cat ${quoted(`${dataDir}/studio.token`)})"`,
    `-H 'x-opd: 1' -H 'content-type: application/json'`,
    `-d ${quoted(body)}\n`,
  ].join(" \\\n  ");
}
