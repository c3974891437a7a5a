/** A server's word in the page's words. A newer server may use one that this page does not know: it is shown as it is. */
export function wordFor(table: Readonly<Record<string, string>>, key: string): string {
  return Object.hasOwn(table, key) ? (table[key] ?? key) : key.replaceAll("_", " ");
}
