/** Where one asks: the question, how it is sampled, and a way to stop. */
import { Button, NumberInput, Textarea } from "@mantine/core";
import { useState } from "react";

import { strings } from "../../strings";
import { IconPlay, IconStop } from "../ui/icons";
import classes from "./chat.module.css";
import type { Sampling } from "./useConversation";

interface Props {
  /** What the run used. */
  initial: Sampling;
  tries: string[];
  canSend: boolean;
  isWriting: boolean;
  onSend: (text: string, sampling: Sampling) => void;
  onStop: () => void;
}

export function Composer({ initial, tries, canSend, isWriting, onSend, onStop }: Props) {
  const [text, setText] = useState("");
  const [sampling, setSampling] = useState(initial);
  const isReady = canSend && !isWriting && text.trim() !== "";
  const send = () => {
    if (!isReady) return;
    onSend(text.trim(), sampling);
    setText("");
  };
  return (
    <form
      className={classes.composer}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      {tries.length > 0 && (
        <div className={classes.tries}>
          <span className="dim">{strings.chat.tries}</span>
          {tries.map((one) => (
            <Button key={one} size="compact-xs" variant="default" onClick={() => setText(one)}>
              {one}
            </Button>
          ))}
        </div>
      )}
      <Textarea
        autosize
        minRows={2}
        maxRows={8}
        maxLength={20_000}
        aria-label={strings.chat.question}
        placeholder={strings.chat.placeholder}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
          event.preventDefault();
          send();
        }}
      />
      <div className={classes.controls}>
        <NumberInput
          size="xs"
          label={strings.chat.temperature}
          title={strings.chat.temperatureHelp}
          min={0}
          max={2}
          step={0.1}
          value={sampling.temperature}
          onChange={(value) => setSampling({ ...sampling, temperature: Number(value) || 0 })}
        />
        <NumberInput
          size="xs"
          label={strings.chat.longest}
          title={strings.chat.longestHelp}
          min={1}
          max={131_072}
          allowDecimal={false}
          value={sampling.max_tokens}
          onChange={(value) => setSampling({ ...sampling, max_tokens: Math.max(1, Number(value) || 1) })}
        />
        <p className={`faint ${classes.keys}`}>{strings.chat.keys}</p>
        {isWriting ? (
          <Button color="red" variant="light" leftSection={<IconStop size={16} />} onClick={onStop}>
            {strings.chat.stop}
          </Button>
        ) : (
          <Button type="submit" disabled={!isReady} leftSection={<IconPlay size={16} />}>
            {strings.chat.send}
          </Button>
        )}
      </div>
    </form>
  );
}
