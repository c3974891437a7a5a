/** Keeps one broken part from taking the page with it, and says what happened. */
import { Button } from "@mantine/core";
import { Component, type ReactNode } from "react";

import { strings } from "../strings";
import { diagnosticsText } from "./diagnostics";
import { FailureNotice } from "./ui/Notice";

export class ErrorBoundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    const failure = { code: "page_error", message: error.message, hint: strings.app.brokenHint };
    return (
      <div style={{ padding: 24, maxWidth: 640 }}>
        <FailureNotice
          title={strings.app.broken}
          failure={failure}
          diagnostics={() => diagnosticsText({ failure, stack: error.stack })}
          actions={
            <Button size="xs" onClick={() => window.location.reload()}>
              {strings.app.reload}
            </Button>
          }
        />
      </div>
    );
  }
}
