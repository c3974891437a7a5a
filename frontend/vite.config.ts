/** Build and test settings. In: src/. Out: the package's `ui/` folder, which the server serves as plain files. */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../backend/opd/ui",
    emptyOutDir: true,
    manifest: true,
    target: "es2022",
    // Nothing is inlined: the server's content security policy allows files of its own origin only.
    assetsInlineLimit: 0,
    // The polyfill would be an inline script.
    modulePreload: { polyfill: false },
    license: { fileName: "third-party-licenses.md" },
    chunkSizeWarningLimit: 400,
  },
  server: {
    // `opd studio --port 8123` behind the dev server; its guard wants its own address as origin.
    proxy: {
      "/api": {
        target: "http://127.0.0.1:8123",
        ws: true,
        changeOrigin: true,
        headers: { origin: "http://127.0.0.1:8123" },
      },
    },
  },
  test: {
    environment: "jsdom",
    setupFiles: ["src/test/setup.ts"],
    restoreMocks: true,
    css: false,
  },
});
