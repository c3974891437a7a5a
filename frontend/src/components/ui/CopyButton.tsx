/** Copies a text and says so. */
import { Button, type ButtonProps } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import type { ReactNode } from "react";

import { strings } from "../../strings";
import { IconCheck, IconCopy } from "./icons";

interface Props extends ButtonProps {
  /** The text, or how to make it when it is asked for. */
  text: string | (() => string);
  children: ReactNode;
}

export function CopyButton({ text, children, ...rest }: Props) {
  const clipboard = useClipboard({ timeout: 2000 });
  return (
    <Button
      variant="default"
      size="xs"
      leftSection={clipboard.copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
      onClick={() => clipboard.copy(typeof text === "string" ? text : text())}
      {...rest}
    >
      <span aria-live="polite">{clipboard.copied ? strings.error.copied : children}</span>
    </Button>
  );
}
