/**
 * `npm run bench:charts`: builds bench/charts.html, opens it in headless Chromium, prints what it measured.
 *
 * Nothing is asserted: the machine it runs on decides. Targets are in docs/log.md. The browser is the one of
 * $OPD_BROWSER, else the Chromium or Chrome of PATH.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { delimiter, extname, join } from "node:path";
import { fileURLToPath } from "node:url";

import react from "@vitejs/plugin-react";
import { build } from "vite";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };
const TIMEOUT_MS = 120_000;

function findBrowser() {
  const names = [process.env.OPD_BROWSER, "chromium", "chromium-browser", "google-chrome", "chrome.exe", "msedge.exe"];
  const folders = ["", ...(process.env.PATH ?? "").split(delimiter)];
  for (const name of names.filter(Boolean)) {
    for (const folder of folders) {
      const path = folder ? join(folder, name) : name;
      if (existsSync(path)) return path;
    }
  }
  console.error("No Chromium or Chrome on the PATH: set OPD_BROWSER to one.");
  process.exit(1);
}

const browser = findBrowser();
const folder = await mkdtemp(join(tmpdir(), "opd-bench-"));
const bench = fileURLToPath(new URL("../bench/", import.meta.url));
await build({
  configFile: false,
  root: bench,
  plugins: [react()],
  logLevel: "warn",
  build: { outDir: join(folder, "page"), emptyOutDir: true, target: "es2022", rolldownOptions: { input: join(bench, "charts.html") } },
});

let chromium;
const measured = await new Promise((resolve, reject) => {
  const server = createServer(async (request, response) => {
    if (request.method === "POST") {
      const parts = [];
      for await (const part of request) parts.push(part);
      response.end();
      server.close();
      resolve(JSON.parse(Buffer.concat(parts).toString()));
      return;
    }
    const name = request.url === "/" ? "/charts.html" : request.url.split("?")[0];
    const body = await readFile(join(folder, "page", name)).catch(() => null);
    response.writeHead(body ? 200 : 404, { "content-type": TYPES[extname(name)] ?? "application/octet-stream" });
    response.end(body ?? "");
  });
  server.listen(0, "127.0.0.1", () => {
    const flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", `--user-data-dir=${join(folder, "profile")}`];
    chromium = spawn(browser, [...flags, "--window-size=1280,900", `http://127.0.0.1:${server.address().port}/`], { stdio: "ignore" });
    setTimeout(() => reject(new Error("the page has not answered in two minutes")), TIMEOUT_MS).unref();
  });
});
const gone = new Promise((resolve) => chromium.once("exit", resolve));
chromium.kill();
await gone;
await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });

console.log(`100,000 points, one spike, ${measured.browser.match(/Chrome\/[\d.]+/)?.[0] ?? "unknown browser"}`);
for (const { name, mount_ms, update_ms, worst_update_ms, spike_is_drawn } of measured.results) {
  console.log(`  ${name}`);
  console.log(`    mount        ${mount_ms.toFixed(0).padStart(5)} ms   (target 500)`);
  console.log(`    live update  ${update_ms.toFixed(1).padStart(5)} ms   (target 50; median of 40, slowest ${worst_update_ms.toFixed(1)})`);
  console.log(`    spike drawn  ${spike_is_drawn ? "yes" : "no"}`);
}
