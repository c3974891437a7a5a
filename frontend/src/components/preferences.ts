/** Small wishes of the person at this browser. Storage may be forbidden: then they last as long as the page. */

const memory = new Map<string, string>();

export function readPreference(key: string): string | null {
  try {
    return window.localStorage.getItem(`opd.${key}`) ?? memory.get(key) ?? null;
  } catch {
    return memory.get(key) ?? null;
  }
}

export function writePreference(key: string, value: string | null): void {
  if (value === null) memory.delete(key);
  else memory.set(key, value);
  try {
    if (value === null) window.localStorage.removeItem(`opd.${key}`);
    else window.localStorage.setItem(`opd.${key}`, value);
  } catch {
    // kept in memory above
  }
}

/** Single-letter shortcuts can be turned off: they get in the way of speech input (WCAG 2.1.4). */
export function singleKeysEnabled(): boolean {
  return readPreference("single-keys") !== "off";
}
