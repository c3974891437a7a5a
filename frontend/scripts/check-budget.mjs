/**
 * First paint may load at most 250 kB of JavaScript (gzip): what index.html names, what that imports statically, and
 * the start page with what it imports. Run after the build; fails it when the budget is passed.
 */
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET_BYTES = 250_000;
const START_PAGE = "src/pages/OPDPage.tsx";

const ui = new URL("../../backend/opd/ui/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL(".vite/manifest.json", ui), "utf8"));

function reach(key, found = new Set()) {
  if (found.has(key)) return found;
  found.add(key);
  for (const next of manifest[key].imports ?? []) reach(next, found);
  return found;
}

const files = [...reach("index.html", reach(START_PAGE))].map((key) => manifest[key].file).filter((file) => file.endsWith(".js"));
const sizes = [...new Set(files)].map((file) => [file, gzipSync(readFileSync(new URL(file, ui))).length]);
const total = sizes.reduce((sum, [, size]) => sum + size, 0);
const listing = sizes.map(([file, size]) => `  ${(size / 1000).toFixed(1).padStart(7)} kB  ${file}`).join("\n");
console.log(`JavaScript for the first paint: ${(total / 1000).toFixed(1)} kB of ${BUDGET_BYTES / 1000} kB (gzip)\n${listing}`);
if (total > BUDGET_BYTES) {
  console.error("The budget is passed: load what the start page does not need when it is needed.");
  process.exit(1);
}
