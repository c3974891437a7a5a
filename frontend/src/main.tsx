/** Opens the session, then the page. */
import "@mantine/core/styles.layer.css";
import "@mantine/notifications/styles.layer.css";
import "@mantine/spotlight/styles.layer.css";
import "./theme/fonts.css";
import "./theme/tokens.css";
import "./theme/base.css";

import { localStorageColorSchemeManager, MantineProvider } from "@mantine/core";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Provider } from "react-redux";
import { BrowserRouter } from "react-router";

import { opdApi } from "./api";
import { App } from "./App";
import { makeStore } from "./store";
import { cssVariables, theme } from "./theme/theme";

const store = makeStore();

/** The one-time code of the printed address becomes a cookie, and leaves the address bar and the history. */
async function openSession(): Promise<void> {
  const address = new URL(window.location.href);
  const code = address.searchParams.get("code");
  if (!code) return;
  address.searchParams.delete("code");
  window.history.replaceState(null, "", address);
  // A used code is no failure: the cookie of its first use is still there, and the first question tells.
  await store.dispatch(opdApi.endpoints.openSession.initiate({ sessionRequest: { code } }));
}

const root = document.getElementById("root");
if (root) {
  await openSession();
  createRoot(root).render(
    <StrictMode>
      <Provider store={store}>
        <MantineProvider
          theme={theme}
          cssVariablesResolver={cssVariables}
          defaultColorScheme="auto"
          colorSchemeManager={localStorageColorSchemeManager({ key: "opd.color-scheme" })}
        >
          <BrowserRouter>
            <App />
          </BrowserRouter>
        </MantineProvider>
      </Provider>
    </StrictMode>,
  );
}
